// Short labels for the server's states. tone: good, calm, warn or bad.

const CLUTCH_LABELS = {
  headset: {
    open: "Hold the grip to move",
    waiting: "Release the grip, then hold it again",
    gripper: "The gripper keeps its opening until the trigger reaches it",
  },
  bare: {
    open: "Bend your last three fingers to move",
    waiting: "Open your hand, then bend your fingers again",
    gripper: "The gripper keeps its opening until your pinch reaches it",
  },
  phone: {
    open: "Hold a finger on the screen to move",
    waiting: "Lift your finger, then hold again",
    gripper: "The gripper keeps its opening until you press its button",
  },
  desk: {
    open: "Hold Shift or the device's button to move",
    waiting: "Release everything, then hold again",
    gripper: "The gripper keeps its opening until you press Space",
  },
};

const GATE_REASONS = {
  speed: "at the speed limit",
  workspace: "at the edge of the workspace",
  following_error: "it cannot follow",
  joint_limit: "near a joint limit",
  table: "a part of the arm is near the table",
  prediction: "at half speed, the policy calls",
  contact: "the hand presses: move away from the contact",
  expired: "no more commands",
  operator_lost: "the person who drove was lost: take the clutch again, or reset the arm",
  not_finite: "a command was not a finite number",
  jump: "a command was far too fast",
  frame: "a command was in the wrong frame",
  out_of_order: "a command was repeated or out of order",
  old: "a command was too old",
  no_pose: "the arm reports no pose",
  emergency_stop: "emergency stop",
  force: "contact force too high",
  stuck: "the arm does not follow",
  homing_timeout: "homing took too long",
  loop_stalled: "the control loop stalled",
  not_armed: "not armed",
  backend_fault: "the arm reports a fault",
  shutting_down: "shutting down",
};

const SOURCES = { teleop: "teleoperation", policy: "the policy", home: "homing" };

/** The hand that holds the clutch, in words: "left hand", or "" for a phone, a desk or none. */
export const handLabel = (state, kind) => (["headset", "bare"].includes(kind) && ["right", "left"].includes(state.hand) ? `${state.hand} hand` : "");

/** Which hand drives, before it grips. layout: either | right | left. */
export const layoutLabel = (layout) => (layout === "either" ? "Either hand drives: the one that grips" : `Only the ${layout} hand drives`);

/**
 * The clutch in words, in agreement with the gate: "follows" is said only while the gate moves the arm for a person.
 * kind: headset | bare (hands without controllers) | phone | desk; idle: the detail if there is nothing else to say.
 */
export function clutchLabel(state, kind, idle = "") {
  const words = CLUTCH_LABELS[kind] ?? CLUTCH_LABELS.headset;
  // The operator released the grip: nothing to explain.
  const why = state.why === "released" ? idle : state.why || idle;
  if (state.clutch === "engaged") return engagedLabel(state.gate ?? {}, state.gripper_waits ? words.gripper : "", handLabel(state, kind));
  if (state.clutch === "waiting") return { tone: "warn", text: words.waiting, detail: why };
  return { tone: "calm", text: words.open, detail: why };
}

function engagedLabel(gate, detail, hand) {
  const reason = GATE_REASONS[gate.reason] ?? "";
  if (gate.state === "stopped") return { tone: "bad", text: "You hold the clutch, but the arm is stopped", detail: reason };
  if (gate.state === "moving" && gate.source && gate.source !== "teleop") return { tone: "warn", text: `You hold the clutch, but ${SOURCES[gate.source] ?? gate.source} moves the arm`, detail };
  if (gate.state === "moving") return { tone: "good", text: hand ? `The arm follows your ${hand}` : "The arm follows you", detail };
  if (reason) return { tone: "warn", text: "You hold the clutch, but the arm does not move", detail: reason };
  return { tone: "calm", text: `Ready: move your ${hand || "hand"}`, detail };
}

export function gateLabel(gate) {
  if (!gate?.state) return { tone: "warn", text: "No state from the arm" };
  const reason = GATE_REASONS[gate.reason] ?? "";
  const end = reason ? `: ${reason}` : "";
  if (gate.state === "stopped") return { tone: "bad", text: `Arm stopped${end}` };
  if (gate.state === "moving") {
    const by = SOURCES[gate.source] ? `, commanded by ${SOURCES[gate.source]}` : "";
    return reason ? { tone: "warn", text: `Arm moves${end}` } : { tone: "good", text: `Arm moves${by}` };
  }
  return { tone: reason ? "warn" : "calm", text: `Arm holds still${end}` };
}

export function recordingLabel(recording) {
  if (recording?.state === "recording") return { tone: "record", text: `Recording ${clock(recording.seconds)}` };
  if (!recording?.state) return { tone: "warn", text: "No state from the recorder" };
  return { tone: "calm", text: "Not recording" };
}

/** {position, text} of the present instruction in the task list; null if there is no list or it is not in it. */
export function taskLabel(tasks, instruction) {
  const index = (tasks ?? []).findIndex((task) => task.instruction === instruction);
  return index < 0 ? null : { position: `Task ${index + 1} of ${tasks.length}`, text: progress(tasks[index]) };
}

export const progress = ({ done, episodes }) => (episodes ? `${done} of ${episodes}` : `${done}`);

/** The effect of the second press; "" if no confirmation is open. how: {success, discard}: the names of the buttons. */
export function confirmLabel(recording, how) {
  if (recording?.confirm === "success") return `${how.success} again: save as success${recording.confirm_why ? " anyway" : ""}`;
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
