// The operator's page: says whether everything is ready, and enters the immersive session.

import { Channel } from "/web/channel.js";
import { device, immersiveMode } from "/web/device.js";
import { byId, fact, show, text } from "/web/dom.js";
import { Headset } from "/web/headset.js";
import { clutchWords, confirmWords, gateWords, recordingWords } from "/web/words.js";

const CONTROLS = {
  headset: [
    ["Grip", "hold to move the arm with your hand"],
    ["Trigger", "close the gripper, as far as you pull"],
    ["A or X", "start an episode; while it runs, twice: save as success"],
    ["B or Y", "twice: discard the episode"],
    ["Stick, pressed", "the way you point is forward"],
    ["Bare hands", "bend the last three fingers: grip; pinch thumb and index finger: gripper"],
  ],
  phone: [
    ["Screen", "hold a finger on it to move the arm with the phone"],
    ["Gripper", "opens and closes the fingers"],
    ["This is forward", "the way the phone points is forward"],
    ["Start", "begins an episode; while it runs, twice: save as success"],
    ["Discard", "twice: discards the episode"],
  ],
};

const { name, kind } = device();
const hands = kind === "phone" ? "phone" : "headset";
let mode = "";
let headset = null;

const watch = new Channel("/ws/watch", { onMessage: showRig, onStatus: showServer });
const operator = new Channel("/ws/operator", {
  hello: { type: "hello", device: name, kind: hands, version: 1 },
  onMessage: takeState,
  onStatus: showLink,
});

async function begin() {
  for (const [key, meaning] of CONTROLS[hands]) byId("controls").append(fact(key, meaning));
  watch.open();
  byId("enter").addEventListener("click", enter);
  phoneButtons();
  await offer();
  navigator.xr?.addEventListener("devicechange", offer);
}

async function offer() {
  mode = await immersiveMode();
  byId("enter").hidden = !mode;
  if (mode) {
    text("headline", kind === "phone" ? "Move the arm with your phone" : "Move the arm with your hand");
    text("explain", mode === "immersive-ar" ? "You go on seeing your room; a small panel tells how things stand." : "You will see a drawn room, the static camera's picture and a small panel.");
    text("enter", kind === "phone" ? "Enter AR" : "Enter VR");
    return;
  }
  text("headline", "No headset here");
  const why = !window.isSecureContext
    ? "This page came without HTTPS; open the https:// address that the terminal shows."
    : navigator.xr
      ? "This browser knows WebXR but finds no headset. Open this page in the headset's own browser."
      : "This browser has no WebXR. Open this page in a headset's browser, or on an Android phone.";
  text("explain", why);
}

async function enter() {
  show("trouble", "");
  byId("enter").disabled = true;
  headset = new Headset({ kind: hands, mode, channel: operator, overlay: byId("overlay"), onEnd: left });
  try {
    await headset.enter();
    watch.close();
    document.body.classList.add("inside");
    if (hands === "phone") byId("overlay").hidden = false;
  } catch (error) {
    headset.leave();
    headset = null;
    byId("enter").disabled = false;
    show("trouble", `The session did not begin: ${error.message}`);
  }
}

function left() {
  headset = null;
  document.body.classList.remove("inside");
  byId("overlay").hidden = true;
  byId("enter").disabled = false;
  watch.open();
}

function takeState(message) {
  if (message.type !== "state" || !headset) return;
  headset.take(message);
  const words = clutchWords(message, hands);
  text("phone-clutch", words.detail ? `${words.text} (${words.detail})` : words.text);
  byId("phone-clutch").dataset.tone = words.tone;
  const instruction = message.recording?.instruction;
  text("phone-recording", recordingWords(message.recording).text + (instruction ? `: “${instruction}”` : ""));
  text("phone-a", message.recording?.state === "recording" ? "Save" : "Start");
  const gate = gateWords(message.gate);
  show("phone-trouble", message.warnings?.[0] ?? (["bad", "warn"].includes(gate.tone) ? gate.text : ""));
  show("phone-confirm", confirmWords(message.recording, { success: "Press Save", discard: "Press Discard" }));
}

function showLink(status) {
  if (status.phase === "unpaired" && headset) {
    show("trouble", status.why);
    headset.leave();
  }
  if (status.phase === "lost" || status.phase === "busy") {
    text("phone-clutch", `${status.why}. Trying again.`);
    byId("phone-clutch").dataset.tone = "bad";
  }
}

/** Touches on these buttons are not the clutch. */
function phoneButtons() {
  byId("overlay").addEventListener("beforexrselect", (event) => {
    if (event.target.closest("button")) event.preventDefault();
  });
  byId("phone-a").addEventListener("click", () => headset?.pressA());
  byId("phone-b").addEventListener("click", () => headset?.pressB());
  byId("phone-leave").addEventListener("click", () => headset?.leave());
  byId("phone-forward").addEventListener("click", () => {
    if (headset) headset.hands[0].forward = true;
  });
  byId("phone-gripper").addEventListener("click", () => {
    const phone = headset?.hands[0];
    if (!phone) return;
    phone.gripper = phone.gripper ? 0 : 1;
    text("phone-gripper", phone.gripper ? "Open gripper" : "Close gripper");
  });
}

function showServer(status) {
  const words = { connecting: "Connecting", open: "Connected", closed: "–" };
  const tone = { open: "good", connecting: "calm", closed: "calm" };
  text("server", words[status.phase] ?? status.why, tone[status.phase] ?? "bad");
  byId("server").title = status.why;
  if (status.phase !== "open") for (const id of ["gate", "recording", "instruction"]) text(id, "–");
  byId("enter").disabled = status.phase === "unpaired" || headset !== null;
}

function showRig(state) {
  if (state.type !== "state") return;
  const gate = gateWords(state.gate);
  text("gate", gate.text.replace(/^Arm (.)/, (_, first) => first.toUpperCase()), gate.tone);
  const recording = recordingWords(state.recording);
  text("recording", recording.text, recording.tone);
  text("instruction", state.recording?.instruction ? `“${state.recording.instruction}”` : "none yet: type one at the workstation");
}

begin();
