// The operator's page: shows whether everything is ready, and enters the immersive session.

import { Channel } from "/web/channel.js";
import { device, immersiveMode } from "/web/device.js";
import { byId, describe, setText, showText } from "/web/dom.js";
import { Headset } from "/web/headset.js";
import { clutchLabel, confirmLabel, gateLabel, handLabel, layoutLabel, recordingLabel, taskLabel } from "/web/labels.js";
import { buttonNames, loadLayout, saveLayout } from "/web/layout.js";
import { testNetwork } from "/web/network_test.js";

const LAYOUTS = {
  headset: [["either", layoutLabel("either")], ["right", layoutLabel("right")], ["left", layoutLabel("left")]],
  phone: [["right", "Right-handed: buttons at the right"], ["left", "Left-handed: buttons at the left"]],
};
const controls = (layout) => ({
  headset: [
    ["Grip", "hold to move the arm with your hand"],
    ["Trigger", "close the gripper, as far as you pull"],
    [buttonNames(layout)[0], "start an episode; during an episode, press twice: save as success"],
    [buttonNames(layout)[1], "press twice: discard the episode"],
    ["Stick, pressed", "set the forward direction to where you point"],
    ["Stick, left or right", "between episodes: the task list's previous or next instruction"],
    ["Bare hands", "bend the last three fingers: grip; pinch with thumb and index finger: gripper"],
  ],
  phone: [
    ["Screen", "hold a finger on it to move the arm with the phone"],
    ["Gripper", "open or close the gripper"],
    ["This is forward", "set the forward direction to where the phone points"],
    ["Start", "start an episode; during an episode, press twice: save as success"],
    ["Discard", "press twice: discard the episode"],
    ["Next task", "the task list's next instruction"],
  ],
});

const { name, kind } = device();
const hands = kind === "phone" ? "phone" : "headset";
let mode = "";
let headset = null;
let layout = loadLayout();
let tested = "";

const watch = new Channel("/ws/watch", { onMessage: showRig, onStatus: showServer });
const operator = new Channel("/ws/operator", {
  hello: { type: "hello", device: name, kind: hands, version: 1 },
  onMessage: onState,
  onStatus: showLink,
});

async function begin() {
  chooseLayout();
  watch.open();
  byId("network-again").addEventListener("click", runNetworkTest);
  byId("enter").addEventListener("click", enter);
  phoneButtons();
  await offerSession();
  navigator.xr?.addEventListener("devicechange", offerSession);
}

function chooseLayout() {
  const field = byId("hand");
  for (const [value, text] of LAYOUTS[hands]) field.append(new Option(text, value));
  if (!LAYOUTS[hands].some(([value]) => value === layout)) layout = LAYOUTS[hands][0][0];
  field.value = layout;
  const show = () => {
    document.body.dataset.hand = layout;
    byId("controls").replaceChildren(...controls(layout)[hands].map(([key, meaning]) => describe(key, meaning)));
  };
  field.addEventListener("change", () => {
    layout = field.value;
    saveLayout(layout);
    show();
  });
  show();
}

/** Before the first grip: rate, jitter and loss at the pace of the hand's samples. */
async function runNetworkTest() {
  if (tested === "runs") return;
  tested = "runs";
  byId("network-again").hidden = true;
  showText("network-advice", "");
  const { answered, tone, text, advice } = await testNetwork((share) => setText("network", `Testing: ${Math.round(100 * share)} %`, "calm"));
  tested = answered ? "done" : "";
  setText("network", text, tone);
  showText("network-advice", advice ? `${advice[0].toUpperCase()}${advice.slice(1)}.` : "");
  byId("network-again").hidden = false;
}

async function offerSession() {
  mode = await immersiveMode();
  byId("enter").hidden = !mode;
  if (mode) {
    setText("headline", kind === "phone" ? "Move the arm with your phone" : "Move the arm with your hand");
    setText("explain", mode === "immersive-ar" ? "You still see your room; a small panel shows the state." : "You will see a rendered room, the image of the static camera and a small panel.");
    setText("enter", kind === "phone" ? "Enter AR" : "Enter VR");
    return;
  }
  setText("headline", "No headset here");
  const why = !window.isSecureContext
    ? "This page was loaded without HTTPS. Open the https:// address that the terminal shows."
    : navigator.xr
      ? "This browser has WebXR but finds no headset. Open this page in the headset's own browser."
      : "This browser has no WebXR. Open this page in a headset's browser, or on an Android phone.";
  setText("explain", why);
}

async function enter() {
  showText("problem", "");
  byId("enter").disabled = true;
  headset = new Headset({ kind: hands, mode, channel: operator, overlay: byId("overlay"), layout, onEnd: onSessionEnd });
  try {
    await headset.enter();
    watch.close();
    document.body.classList.add("inside");
    if (hands === "phone") byId("overlay").hidden = false;
  } catch (error) {
    headset.leave();
    headset = null;
    byId("enter").disabled = false;
    showText("problem", `The session did not start: ${error.message}`);
  }
}

function onSessionEnd() {
  headset = null;
  document.body.classList.remove("inside");
  byId("overlay").hidden = true;
  byId("enter").disabled = false;
  watch.open();
}

function onState(message) {
  if (message.type !== "state" || !headset) return;
  headset.setState(message);
  const label = clutchLabel(message, hands);
  setText("phone-clutch", label.detail ? `${label.text} (${label.detail})` : label.text);
  byId("phone-clutch").dataset.tone = label.tone;
  const instruction = message.recording?.instruction;
  setText("phone-recording", recordingLabel(message.recording).text + (instruction ? `: “${instruction}”` : ""));
  setText("phone-a", message.recording?.state === "recording" ? "Save" : "Start");
  const task = taskLabel(message.tasks, instruction);
  showText("phone-task", task ? `${task.position}: ${task.text}` : "");
  const choose = Boolean(message.tasks?.length) && message.recording?.state !== "recording";
  for (const id of ["phone-previous", "phone-next"]) byId(id).hidden = !choose;
  const gate = gateLabel(message.gate);
  const loss = message.recording?.confirm_why || message.recording?.loss;
  showText("phone-problem", message.warnings?.[0] || loss || (["bad", "warn"].includes(gate.tone) ? gate.text : ""));
  showText("phone-confirm", confirmLabel(message.recording, { success: "Press Save", discard: "Press Discard" }));
}

function showLink(status) {
  if (status.phase === "unpaired" && headset) {
    showText("problem", status.why);
    headset.leave();
  }
  if (status.phase === "lost" || status.phase === "busy") {
    setText("phone-clutch", `${status.why}. Trying again.`);
    byId("phone-clutch").dataset.tone = "bad";
  }
}

/** Touching a button must not hold the clutch. */
function phoneButtons() {
  byId("overlay").addEventListener("beforexrselect", (event) => {
    if (event.target.closest("button")) event.preventDefault();
  });
  byId("phone-a").addEventListener("click", () => headset?.pressA());
  byId("phone-b").addEventListener("click", () => headset?.pressB());
  byId("phone-next").addEventListener("click", () => headset?.stepTask(1));
  byId("phone-previous").addEventListener("click", () => headset?.stepTask(-1));
  byId("phone-leave").addEventListener("click", () => headset?.leave());
  byId("phone-forward").addEventListener("click", () => {
    if (headset) headset.hands[0].forward = true;
  });
  byId("phone-gripper").addEventListener("click", () => {
    const phone = headset?.hands[0];
    if (!phone) return;
    phone.gripper = phone.gripper ? 0 : 1;
    setText("phone-gripper", phone.gripper ? "Open gripper" : "Close gripper");
  });
}

function showServer(status) {
  const words = { connecting: "Connecting", open: "Connected", closed: "–" };
  const tone = { open: "good", connecting: "calm", closed: "calm" };
  setText("server", words[status.phase] ?? status.why, tone[status.phase] ?? "bad");
  byId("server").title = status.why;
  if (status.phase !== "open") for (const id of ["gate", "recording", "instruction", "driver"]) setText(id, "–");
  // A lost network is tested anew when it is back; in the background a browser sends too rarely.
  if (status.phase === "lost" && tested === "done") tested = "";
  if (status.phase === "open" && !tested && !headset && !document.hidden) runNetworkTest();
  byId("enter").disabled = status.phase === "unpaired" || headset !== null;
}

function showRig(state) {
  if (state.type !== "state") return;
  const gate = gateLabel(state.gate);
  const { operator: who } = state;
  const hand = who && handLabel(state, who.kind);
  setText("driver", who ? `${who.device}${hand ? `, ${hand}` : ""}` : "nobody", state.clutch === "engaged" ? "good" : "");
  setText("gate", gate.text.replace(/^Arm (.)/, (_, first) => first.toUpperCase()), gate.tone);
  const recording = recordingLabel(state.recording);
  setText("recording", recording.text, recording.tone);
  setText("instruction", state.recording?.instruction ? `“${state.recording.instruction}”` : "none yet: type one at the workstation");
}

begin();
