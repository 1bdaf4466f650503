// The server's states in words that an operator reads at a glance. tone: good, calm, warn or bad.

const CLUTCH_WORDS = {
  headset: {
    open: "Hold the grip to move",
    waiting: "Open the grip, then hold it again",
    gripper: "The fingers stay: pull the trigger until it meets them",
  },
  phone: {
    open: "Hold a finger on the screen to move",
    waiting: "Lift your finger, then hold again",
    gripper: "The fingers stay until you press the gripper's button",
  },
  desk: {
    open: "Hold Shift or the device's button to move",
    waiting: "Release everything, then hold again",
    gripper: "The fingers stay until you press Space",
  },
};

const GATE_REASONS = {
  speed: "at its speed limit",
  workspace: "at the edge of its workspace",
  leash: "it cannot follow",
  joint_limit: "near a joint's end",
  expired: "commands stopped coming",
  not_finite: "a command was not a number",
  jump: "a command was far too fast",
  frame: "a command named another frame",
  out_of_order: "a command came twice or too late",
  old: "a command was too old",
  no_pose: "the arm does not say where it is",
  emergency_stop: "emergency stop",
  force: "it pressed too hard",
  loop_stalled: "its control loop stood still",
  not_armed: "it is not armed",
  backend_fault: "the arm reports a fault",
  shutting_down: "it is shutting down",
};

const SOURCES = { teleop: "teleoperation", policy: "the policy", home: "the way home" };

export function clutchWords(state, kind) {
  const words = CLUTCH_WORDS[kind] ?? CLUTCH_WORDS.headset;
  // Letting go is what the operator has just done: no news.
  const why = state.why === "let go" ? "" : (state.why ?? "");
  if (state.clutch === "engaged") return { tone: "good", text: "The arm follows you", detail: state.gripper_waits ? words.gripper : "" };
  if (state.clutch === "waiting") return { tone: "warn", text: words.waiting, detail: why };
  return { tone: "calm", text: words.open, detail: why };
}

export function gateWords(gate) {
  if (!gate?.state) return { tone: "warn", text: "No word from the arm" };
  const reason = GATE_REASONS[gate.reason] ?? "";
  const end = reason ? `: ${reason}` : "";
  if (gate.state === "stopped") return { tone: "bad", text: `Arm stopped${end}` };
  if (gate.state === "moving") {
    const by = SOURCES[gate.source] ? `, led by ${SOURCES[gate.source]}` : "";
    return reason ? { tone: "warn", text: `Arm moves${end}` } : { tone: "good", text: `Arm moves${by}` };
  }
  return { tone: reason ? "warn" : "calm", text: `Arm holds still${end}` };
}

export function recordingWords(recording) {
  if (recording?.state === "recording") return { tone: "record", text: `Recording ${clock(recording.seconds)}` };
  if (!recording?.state) return { tone: "warn", text: "No word from the recorder" };
  return { tone: "calm", text: "Not recording" };
}

/** What the second press would do; "" when nothing waits for one. how: {success, discard}, the names of what to press. */
export function confirmWords(recording, how) {
  if (recording?.confirm === "success") return `${how.success} again: save as success`;
  if (recording?.confirm === "discard") return `${how.discard} again: discard the episode`;
  return "";
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds ?? 0));
  return `${String(Math.floor(whole / 60)).padStart(2, "0")}:${String(whole % 60).padStart(2, "0")}`;
}

export function milliseconds(value) {
  return Number.isFinite(value) ? `${Math.round(value)} ms` : "–";
}
