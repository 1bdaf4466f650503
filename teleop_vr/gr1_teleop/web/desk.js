// The workstation page: camera images, episodes, the recorder's buttons, and control from the desk.

import { Camera } from "/web/cameras.js";
import { Channel } from "/web/channel.js";
import { DeskPanel } from "/web/desk_panel.js";
import { byId, createElement, setText, showText } from "/web/dom.js";
import { EpisodeList } from "/web/episodes.js";
import { EvaluationPanel } from "/web/evaluation_panel.js";
import { gateLabel, handLabel, milliseconds, recordingLabel } from "/web/labels.js";
import { Player } from "/web/player.js";
import { PolicyPanel } from "/web/policy_panel.js";
import { TaskPanel } from "/web/task_panel.js";

const MESSAGE_MS = 6000;
// Time for the second press of the discard button.
const CONFIRM_MS = 3000;
const DONE = { start: "Started", success: "Saved as success", failure: "Saved as failure", discard: "Discarded", relabel: "Relabelled", instruction: "Instruction set" };

const cameras = ["static", "wrist"].map((role) => new Camera(role));
const episodes = new EpisodeList({ onOpen: (name) => player.show(name, episodes.outlier(name)) });
const watch = new Channel("/ws/watch", { onMessage, onStatus: showServer });
const player = new Player({ send: (message) => watch.send(message, { urgent: true }), neighbours: (name) => episodes.neighbours(name) });
const policy = new PolicyPanel();
const evaluation = new EvaluationPanel(cameras[0].element);
const tasks = new TaskPanel((text) => {
  typed = false;
  send({ type: "instruction", text });
});
let message_timer = 0;
let confirm_timer = 0;
let typed = false;

function begin() {
  byId("cameras").append(...cameras.map((camera) => camera.element));
  new DeskPanel();
  const field = byId("instruction");
  field.addEventListener("input", () => (typed = true));
  byId("instruct").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!typedInstruction()) return showMessage("Type an instruction first.", true);
    send({ type: "instruction", text: typedInstruction() });
    typed = false;
    field.blur(); // so that the keys control the arm again
  });
  for (const action of ["start", "success", "failure", "discard", "relabel"]) {
    byId(action).addEventListener("click", () => pressAction(action));
  }
  watch.open();
}

const typedInstruction = () => byId("instruction").value.trim();

function pressAction(action) {
  if (action === "relabel" && !typedInstruction()) return showMessage("Type the instruction for the last episode.", true);
  const sure = confirm_timer !== 0;
  setConfirming(action === "discard" && !sure);
  if (action === "discard" && !sure) return;
  const message = { type: "episode", action };
  if (action === "relabel" || (action === "start" && typed && typedInstruction())) message.instruction = typedInstruction();
  if (action === "start" || action === "relabel") typed = false;
  send(message);
}

function send(message) {
  if (!watch.send(message, { urgent: true })) showMessage("Not connected to the server.", true);
}

/** Discard needs two presses, as on a headset; any other button in between cancels it. */
function setConfirming(confirming) {
  clearTimeout(confirm_timer);
  confirm_timer = confirming ? setTimeout(() => setConfirming(false), CONFIRM_MS) : 0;
  byId("discard").classList.toggle("armed", confirming);
  setText("discard", confirming ? "Again: discard" : "Discard");
}

function onMessage(message) {
  if (message.type === "viewer") {
    document.body.classList.add("view-only");
    byId("viewer").hidden = false;
    return;
  }
  if (message.action === "edit") {
    player.answer(message);
    episodes.refresh();
    return;
  }
  if (message.type === "done") {
    showMessage(DONE[message.action] ?? "Done");
    episodes.refresh();
  }
  if (message.type === "failed" || message.type === "asked") showMessage(message.text, true);
  if (message.type !== "state") return;
  const gate = gateLabel(message.gate);
  setText("gate", gate.text, gate.tone);
  showOperator(message);
  showRecording(message.recording ?? {});
  showWarnings(message);
  const topics = message.topics ?? [];
  showTopics(topics, message.recording?.state === "recording");
  for (const camera of cameras) camera.update(topics.find(({ topic }) => topic.includes(`camera/${camera.role}/image`)));
  policy.update(message.policy ?? {});
  evaluation.update(message.evaluation);
  // A policy run without a recorder has no episodes.
  byId("episode-panel").hidden = policy.running && !message.recording?.state && !(message.warnings ?? []).length;
  tasks.update(message.tasks ?? [], message.recording ?? {});
  episodes.update(message);
}

function showOperator(state) {
  const who = state.operator;
  if (!who) return setText("operator", "No operator", "calm");
  const moves = state.gate?.state === "moving" && (state.gate.source || "teleop") === "teleop";
  const doing = { engaged: moves ? "moves the arm" : "holds the clutch", waiting: "must release the clutch first", open: "is connected" }[state.clutch] ?? "is connected";
  const round = Number.isFinite(state.rtt_ms) ? `, ${milliseconds(state.rtt_ms)}` : "";
  const hand = handLabel(state, who.kind);
  setText("operator", `${who.kind === "desk" ? `Desk control (${who.device})` : who.device}${hand ? `, ${hand},` : ""} ${doing}${round}`, state.clutch === "engaged" && moves ? "good" : "calm");
}

function showRecording(recording) {
  const runs = recording.state === "recording";
  const busy = recording.busy ?? "";
  const now = recordingLabel(recording);
  setText("recording", busy ? `${busy[0].toUpperCase()}${busy.slice(1)}…` : now.text, now.tone);
  setText("bag", !recording.bag ? "" : runs ? recording.bag : `last: ${recording.bag}${recording.outcome ? `, ${recording.outcome}` : ""}`);
  const field = byId("instruction");
  if (!typed && document.activeElement !== field && recording.instruction) field.value = recording.instruction;
  byId("start").disabled = runs || Boolean(busy);
  for (const action of ["success", "failure", "discard"]) {
    byId(action).disabled = Boolean(busy) || (!runs && !recording.bag);
    byId(action).title = runs ? "" : "Changes the outcome of the last episode";
  }
  const asked = recording.confirm === "success" && recording.confirm_why;
  byId("success").classList.toggle("armed", Boolean(asked));
  setText("success", asked ? "Save anyway" : "Success");
  byId("relabel").disabled = runs || Boolean(busy) || !recording.bag;
  document.body.classList.toggle("recording-now", runs);
}

function showWarnings(state) {
  const list = byId("warnings");
  const warnings = [...(state.warnings ?? []), ...(state.recording?.loss ? [state.recording.loss] : [])];
  const key = warnings.join("\n");
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  list.replaceChildren(...warnings.map((warning) => createElement("li", {}, warning)));
  list.hidden = warnings.length === 0;
}

/** topics: [{topic, hz, expected_hz, age_s, problem}]. A problem is red while an episode is being recorded. */
function showTopics(topics, recording) {
  const list = byId("topics");
  while (list.children.length > topics.length) list.lastElementChild.remove();
  while (list.children.length < topics.length) list.append(createElement("li", {}, createElement("span"), createElement("span")));
  topics.forEach(({ topic, hz, expected_hz: expected, problem }, index) => {
    const row = list.children[index];
    setText(row.children[0], topic.replace(/\/image_raw(\/compressed)?$/, ""));
    setText(row.children[1], `${figures(hz)}${expected ? ` of ${figures(expected)}` : ""} Hz`);
    row.className = problem ? (recording ? "bad" : "warned") : "";
    row.title = problem ? `${topic}: ${problem}` : topic;
  });
}

const figures = (value) => (Number.isFinite(value) ? value.toFixed(value < 10 && value % 1 ? 1 : 0) : "–");

/** Shows a message for a few seconds. */
function showMessage(text, problem = false) {
  showText("message", text);
  byId("message").className = problem ? "small bad" : "small";
  byId("message").title = text;
  byId("bag").hidden = Boolean(text);
  clearTimeout(message_timer);
  if (text) message_timer = setTimeout(() => showMessage(""), MESSAGE_MS);
}

function showServer(status) {
  setText("server", { open: "Connected", connecting: "Connecting" }[status.phase] ?? status.why, { open: "good", connecting: "calm" }[status.phase] ?? "bad");
  document.body.classList.toggle("blind", status.phase !== "open");
  if (status.phase === "open") return;
  setText("gate", "–", "calm");
  setText("operator", "", "");
}

begin();
