// The player: both cameras of a recorded episode under one slider, its curves and events, and its marks.

import { byId, createElement, setText } from "/web/dom.js";
import { drawTimeline } from "/web/timeline.js";

const ROLES = ["static", "wrist"];
// Frames are asked for at multiples of this, so that the browser's cache serves them again.
const STEP_S = 0.05;
const CONFIRM_MS = 3000;

export class Player {
  /** send(edit): sends a change to the server; neighbours(name): {before, after}: names in the list, or null. */
  constructor({ send, neighbours }) {
    Object.assign(this, { send, neighbours, view: null, name: "", time: 0, playing: false, busy: {}, shown: {} });
    this.dialog = byId("player");
    this.images = Object.fromEntries(ROLES.map((role) => [role, byId(`player-${role}`)]));
    for (const role of ROLES) {
      const image = this.images[role];
      const done = (loaded) => {
        this.busy[role] = false;
        image.classList.toggle("dim", !loaded);
        this.#load(role);
      };
      image.addEventListener("load", () => done(true));
      image.addEventListener("error", () => done(false));
    }
    byId("player-slider").addEventListener("input", (event) => this.#seek(Number(event.target.value), true));
    byId("player-play").addEventListener("click", () => this.#play(!this.playing));
    byId("player-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.#onClose());
    byId("player-before").addEventListener("click", () => this.#go("before"));
    byId("player-after").addEventListener("click", () => this.#go("after"));
    byId("player-start-here").addEventListener("click", () => this.#edit("trim", { start: this.time }));
    byId("player-end-here").addEventListener("click", () => this.#edit("trim", { end: this.time }));
    byId("player-exclude").addEventListener("click", () => this.#exclude());
    byId("player-restore").addEventListener("click", () => this.#restore());
    byId("player-labels").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#relabel();
    });
    byId("player-curves").addEventListener("pointerdown", (event) => this.#point(event));
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
    window.addEventListener("resize", () => this.#draw());
  }

  get open() {
    return this.dialog.open;
  }

  /** Opens an episode; outlier: {score, reasons} or undefined. */
  async show(name, outlier) {
    this.#play(false);
    Object.assign(this, { name, view: null, time: 0, outlier, shown: {} });
    this.#confirm(false);
    this.#message("");
    setText("player-title", "Reading the episode");
    setText("player-facts", "");
    if (!this.open) this.dialog.showModal();
    await this.refresh();
    if (this.name === name && this.view) this.#seek(this.view.marks.trim_start_s);
  }

  /** Reads the episode's view again, after a change. */
  async refresh() {
    const { name } = this;
    try {
      const answer = await fetch(`/api/episodes/${encodeURIComponent(name)}/view`, { cache: "no-store" });
      if (!answer.ok) throw new Error((await answer.text()).trim());
      const view = await answer.json();
      if (name !== this.name) return;
      this.view = view;
      this.#showView();
    } catch (error) {
      if (name === this.name) this.#message(`It cannot be shown: ${error.message}`, true);
    }
  }

  /** The server's answer to a change. */
  answer({ type, text }) {
    if (!this.open) return;
    this.#message(type === "failed" ? text : `Marked: ${text}`, type === "failed");
    if (type === "done") this.refresh();
  }

  #showView() {
    const { labels, marks, steps, recorded, seconds } = this.view;
    setText("player-title", labels.instruction || "no instruction");
    const when = labels.started ? new Date(labels.started).toLocaleString([], { dateStyle: "medium", timeStyle: "short", hour12: false }) : "";
    setText("player-facts", [labels.outcome, `${seconds.toFixed(1)} s`, labels.operator, when, this.name].filter(Boolean).join(" · "));
    byId("player-instruction").value = labels.instruction;
    byId("player-outcome").value = labels.outcome;
    byId("player-slider").max = seconds;
    const kept = steps.problem
      ? `Conversion refuses it: ${steps.problem}`
      : `Conversion keeps ${steps.kept} of ${steps.recorded} steps${steps.problems.length ? `: ${steps.problems.join("; ")}` : ""}`;
    const said = [];
    if (marks.excluded) said.push(["bad", `Excluded: ${marks.excluded}`]);
    const worst = steps.problem || (!marks.excluded && steps.kept < steps.recorded - steps.trimmed);
    if (!marks.excluded) said.push([worst ? "bad" : "", kept]);
    for (const [name, value] of Object.entries(recorded)) said.push(["", `${name} was “${value}” when recorded`]);
    for (const reason of this.outlier?.reasons ?? []) said.push(["warned", reason]);
    byId("player-findings").replaceChildren(...said.map(([tone, text]) => createElement("li", { className: tone }, text)));
    this.dialog.classList.toggle("excluded", Boolean(marks.excluded));
    this.#showEvents();
    for (const role of ROLES) {
      const there = this.view.cameras.includes(role);
      this.images[role].closest("figure").classList.toggle("gone", !there);
    }
    const { before, after } = this.neighbours(this.name);
    byId("player-before").disabled = !before;
    byId("player-after").disabled = !after;
    this.#seek(Math.min(this.time, seconds));
  }

  #showEvents() {
    const chips = this.view.events.map((event) => {
      const chip = createElement("button", { type: "button", className: `chip ${event.kind}` }, `${event.start_s.toFixed(1)} s  ${event.text}`);
      chip.addEventListener("click", () => this.#seek(event.start_s));
      return createElement("li", {}, chip);
    });
    byId("player-events").replaceChildren(...(chips.length ? chips : [createElement("li", { className: "muted small" }, "No gaps, stops or take-overs")]));
  }

  #seek(time, by_hand = false) {
    if (!this.view) return;
    if (by_hand) this.#play(false);
    this.time = Math.min(Math.max(time, 0), this.view.seconds);
    byId("player-slider").value = this.time;
    setText("player-time", `${this.time.toFixed(2)} of ${this.view.seconds.toFixed(2)} s`);
    for (const role of ROLES) this.#load(role);
    this.#draw();
  }

  /** Loads the frame of the present time, one request at a time. */
  #load(role) {
    if (!this.view?.cameras.includes(role) || this.busy[role] || !this.open) return;
    const at = Math.round(this.time / STEP_S) * STEP_S;
    const address = `/api/episodes/${encodeURIComponent(this.name)}/${role}.jpg?t=${at.toFixed(2)}`;
    if (this.shown[role] === address) return;
    this.shown[role] = address;
    this.busy[role] = true;
    this.images[role].src = address;
  }

  #play(playing) {
    if (playing === this.playing) return;
    this.playing = playing;
    setText("player-play", playing ? "Pause" : "Play");
    if (!playing || !this.view) return;
    const { marks, seconds } = this.view;
    const end = marks.trim_end_s ?? seconds;
    if (this.time >= end - STEP_S) this.#seek(marks.trim_start_s);
    let before = performance.now();
    const step = (now) => {
      if (!this.playing || !this.open) return;
      this.#seek(this.time + (now - before) / 1000);
      before = now;
      if (this.time >= (this.view.marks.trim_end_s ?? this.view.seconds)) this.#play(false);
      else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  #draw() {
    if (this.view && this.open) drawTimeline(byId("player-curves"), this.view, this.time);
  }

  #point(event) {
    const box = event.currentTarget.getBoundingClientRect();
    if (this.view) this.#seek(((event.clientX - box.left) / box.width) * this.view.seconds, true);
  }

  #key(event) {
    if (event.target.matches("input:not([type=range]), select")) return;
    if (event.code === "Space" && !event.target.matches("button")) this.#play(!this.playing);
    else if (event.code === "BracketLeft") this.#edit("trim", { start: this.time });
    else if (event.code === "BracketRight") this.#edit("trim", { end: this.time });
    else return;
    event.preventDefault();
  }

  #go(where) {
    const next = this.neighbours(this.name)[where];
    if (next) this.show(next.name, next.outlier);
  }

  #edit(change, more = {}) {
    if (this.view && !this.send({ type: "edit", episode: this.name, change, ...more })) this.#message("Not connected to the server.", true);
  }

  #exclude() {
    const why = byId("player-why").value.trim();
    this.#edit("exclude", why ? { why } : this.outlier ? { why: this.outlier.reasons[0] } : {});
    byId("player-why").value = "";
  }

  /** Takes every mark back; asked twice, since trims and labels may have taken work. */
  #restore() {
    if (!this.confirm_timer) return this.#confirm(true);
    this.#confirm(false);
    this.#edit("restore");
  }

  #confirm(asking) {
    clearTimeout(this.confirm_timer);
    this.confirm_timer = asking ? setTimeout(() => this.#confirm(false), CONFIRM_MS) : 0;
    byId("player-restore").classList.toggle("armed", asking);
    setText("player-restore", asking ? "Again: restore all" : "Restore");
  }

  #relabel() {
    const { labels } = this.view ?? {};
    if (!labels) return;
    const changed = {};
    for (const [name, field] of [["instruction", "player-instruction"], ["outcome", "player-outcome"]]) {
      const value = byId(field).value.trim();
      if (value && value !== labels[name]) changed[name] = value;
    }
    if (Object.keys(changed).length) this.#edit("label", changed);
    else this.#message("Nothing to change: the labels are the same.");
  }

  #message(text, problem = false) {
    setText("player-message", text);
    byId("player-message").className = problem ? "small bad" : "small";
  }

  #onClose() {
    this.#play(false);
    this.view = null;
    this.name = "";
  }
}
