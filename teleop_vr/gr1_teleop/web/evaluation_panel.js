// An evaluation on the rig: what to do next, the judge's buttons, and the start scene over the static camera. It never names
// the checkpoint.

import { byId, createElement, setText } from "/web/dom.js";

const KINDS = ["wrong object", "missed grasp", "dropped", "misplaced", "drawer not opened", "drawer not closed", "nothing reached", "unsafe", "other"];
const WORDS = {
  home: "The arm moves home: step back, then press Start",
  load: "Preparing the next trial",
  arrange: "Lay the table, then press Start",
  running: "The policy acts: judge when it is over",
  judge: "Time is over: judge the trial",
};
const OVERLAY = 0.45;

export class EvaluationPanel {
  /** camera: the figure of the static camera. */
  constructor(camera) {
    this.overlay = createElement("img", { className: "start-scene", alt: "Start of the pair's first trial", hidden: true });
    camera.querySelector(".frame").append(this.overlay);
    this.what = createElement("p", { id: "evaluation-state", className: "recording" });
    this.where = createElement("p", { className: "small muted" });
    this.answer = createElement("p", { className: "small", role: "status" });
    this.share = createElement("input", { type: "range", min: "0", max: "1", step: "0.05", value: String(OVERLAY) });
    this.share.addEventListener("input", () => this.#fade());
    this.slider = createElement("label", { className: "small" }, "Overlay ", this.share);
    this.kind = createElement("select", {}, ...KINDS.map((kind) => new Option(kind, kind)));
    this.kind.setAttribute("aria-label", "Kind of failure");
    this.start = this.#button("Start", "primary", () => "start");
    this.buttons = [this.#button("Success", "good", () => "success"), this.#button("Failure", "", () => `failure:${this.kind.value}`), this.#button("Redo", "danger", () => "redo")];
    const verdicts = createElement("div", { className: "verdicts" }, this.start, this.buttons[0], this.kind, this.buttons[1], this.buttons[2], this.slider);
    this.element = createElement("section", { id: "evaluation", className: "panel evaluation", hidden: true }, this.what, this.where, verdicts, this.answer);
    this.element.setAttribute("aria-label", "Evaluation");
    byId("episode-panel").before(this.element);
    this.#fade();
  }

  /** evaluation: of evaluation/state, nothing where none runs. */
  update(evaluation) {
    const { phase, pair, pairs, trial, instruction, overlay, seconds } = evaluation ?? {};
    this.element.hidden = !phase;
    this.overlay.hidden = !overlay;
    this.slider.hidden = !overlay;
    if (!phase) return;
    const as = overlay && phase === "arrange" ? "Lay the table as in the overlay, then press Start" : WORDS[phase];
    setText(this.what, `${as}${phase === "running" && seconds ? ` (${seconds.toFixed(0)} s)` : ""}`);
    setText(this.where, pair ? `Pair ${pair} of ${pairs}, trial ${trial} of 2${instruction ? `: “${instruction}”` : ""}` : "");
    this.start.disabled = !["home", "arrange"].includes(phase);
    for (const control of [...this.buttons, this.kind]) control.disabled = !["running", "judge"].includes(phase);
    if (overlay && this.shown !== pair) {
      this.shown = pair;
      this.overlay.src = `/stream/start_scene.jpg?n=${pair}`;
    }
  }

  #fade() {
    this.overlay.style.opacity = this.share.value;
  }

  #button(text, className, verdict) {
    const button = createElement("button", { type: "button", className }, text);
    button.addEventListener("click", async () => {
      const response = await fetch(`/api/judge?verdict=${encodeURIComponent(verdict())}`, { method: "POST" });
      setText(this.answer, response.ok ? (await response.json()).text : await response.text());
    });
    return button;
  }
}
