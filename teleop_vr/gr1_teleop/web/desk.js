// The workstation's page: what the rig sees and records, what may be told to the recorder, and control from the desk.

import { Camera } from "/web/cameras.js";
import { Channel } from "/web/channel.js";
import { DrivePanel } from "/web/drive_panel.js";
import { byId, made, show, text } from "/web/dom.js";
import { EpisodeList } from "/web/episodes.js";
import { gateWords, milliseconds, recordingWords } from "/web/words.js";

const TOLD_MS = 6000;
// How long the discard button waits for the second press that means it.
const SURE_MS = 3000;
const DONE = { start: "Started", success: "Saved as success", failure: "Saved as failure", discard: "Discarded", relabel: "Relabelled", instruction: "Instruction set" };

const cameras = ["static", "wrist"].map((role) => new Camera(role));
const episodes = new EpisodeList();
const watch = new Channel("/ws/watch", { onMessage: take, onStatus: showServer });
let told_timer = 0;
let sure_timer = 0;
let typed = false;

function begin() {
  byId("cameras").append(...cameras.map((camera) => camera.element));
  new DrivePanel();
  const field = byId("instruction");
  field.addEventListener("input", () => (typed = true));
  byId("instruct").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!words()) return tell("Type an instruction first.", true);
    ask({ type: "instruction", text: words() });
    typed = false;
    field.blur(); // so that the keys of desk control are free again
  });
  for (const action of ["start", "success", "failure", "discard", "relabel"]) {
    byId(action).addEventListener("click", () => act(action));
  }
  watch.open();
}

const words = () => byId("instruction").value.trim();

function act(action) {
  if (action === "relabel" && !words()) return tell("Type the instruction that the last episode is to have.", true);
  const sure = sure_timer !== 0;
  waitForSecond(action === "discard" && !sure);
  if (action === "discard" && !sure) return;
  const message = { type: "episode", action };
  if (action === "relabel" || (action === "start" && typed && words())) message.instruction = words();
  if (action === "start" || action === "relabel") typed = false;
  ask(message);
}

function ask(message) {
  if (!watch.send(message, { urgent: true })) tell("Not connected to the server.", true);
}

/** Discarding is asked twice, here as on a headset; any other button in between means no. */
function waitForSecond(waits) {
  clearTimeout(sure_timer);
  sure_timer = waits ? setTimeout(() => waitForSecond(false), SURE_MS) : 0;
  byId("discard").classList.toggle("armed", waits);
  text("discard", waits ? "Again: discard" : "Discard");
}

function take(message) {
  if (message.type === "done") {
    tell(DONE[message.action] ?? "Done");
    episodes.ask();
  }
  if (message.type === "failed") tell(message.text, true);
  if (message.type !== "state") return;
  const gate = gateWords(message.gate);
  text("gate", gate.text, gate.tone);
  showOperator(message);
  showRecording(message.recording ?? {});
  showWarnings(message);
  const topics = message.topics ?? [];
  showTopics(topics, message.recording?.state === "recording");
  for (const camera of cameras) camera.tell(topics.find(({ topic }) => topic.includes(`camera/${camera.role}/image`)));
  episodes.tell(message);
}

function showOperator(state) {
  const who = state.operator;
  if (!who) return text("operator", "No operator", "calm");
  const doing = { engaged: "is moving the arm", waiting: "must open the clutch first", open: "is connected" }[state.clutch] ?? "is connected";
  const round = Number.isFinite(state.rtt_ms) ? `, ${milliseconds(state.rtt_ms)}` : "";
  text("operator", `${who.kind === "desk" ? `Desk control (${who.device})` : who.device} ${doing}${round}`, state.clutch === "engaged" ? "good" : "calm");
}

function showRecording(recording) {
  const runs = recording.state === "recording";
  const busy = recording.busy ?? "";
  const now = recordingWords(recording);
  text("recording", busy ? `${busy[0].toUpperCase()}${busy.slice(1)}…` : now.text, now.tone);
  text("bag", !recording.bag ? "" : runs ? recording.bag : `last: ${recording.bag}${recording.outcome ? `, ${recording.outcome}` : ""}`);
  const field = byId("instruction");
  if (!typed && document.activeElement !== field && recording.instruction) field.value = recording.instruction;
  byId("start").disabled = runs || Boolean(busy);
  for (const action of ["success", "failure", "discard"]) {
    byId(action).disabled = Boolean(busy) || (!runs && !recording.bag);
    byId(action).title = runs ? "" : "Marks the last episode anew";
  }
  byId("relabel").disabled = runs || Boolean(busy) || !recording.bag;
  document.body.classList.toggle("recording-now", runs);
}

function showWarnings(state) {
  const list = byId("warnings");
  const warnings = state.warnings ?? [];
  const key = warnings.join("\n");
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  list.replaceChildren(...warnings.map((warning) => made("li", {}, warning)));
  list.hidden = warnings.length === 0;
}

/** topics: [{topic, hz, expected_hz, age_s, trouble}]. Red while an episode is being recorded, since then it costs something. */
function showTopics(topics, recording) {
  const list = byId("topics");
  while (list.children.length > topics.length) list.lastElementChild.remove();
  while (list.children.length < topics.length) list.append(made("li", {}, made("span"), made("span")));
  topics.forEach(({ topic, hz, expected_hz: expected, trouble }, index) => {
    const row = list.children[index];
    text(row.children[0], topic.replace(/\/image_raw(\/compressed)?$/, ""));
    text(row.children[1], `${figures(hz)}${expected ? ` of ${figures(expected)}` : ""} Hz`);
    row.className = trouble ? (recording ? "bad" : "warned") : "";
    row.title = trouble ? `${topic}: ${trouble}` : topic;
  });
}

const figures = (value) => (Number.isFinite(value) ? value.toFixed(value < 10 && value % 1 ? 1 : 0) : "–");

/** Words that matter now and not later. */
function tell(words, trouble = false) {
  show("told", words);
  byId("told").className = trouble ? "small bad" : "small";
  byId("told").title = words;
  byId("bag").hidden = Boolean(words);
  clearTimeout(told_timer);
  if (words) told_timer = setTimeout(() => tell(""), TOLD_MS);
}

function showServer(status) {
  text("server", { open: "Connected", connecting: "Connecting" }[status.phase] ?? status.why, { open: "good", connecting: "calm" }[status.phase] ?? "bad");
  document.body.classList.toggle("blind", status.phase !== "open");
  if (status.phase === "open") return;
  text("gate", "–", "calm");
  text("operator", "", "");
}

begin();
