// A policy run live: the predicted frames, how well they agree with the real ones, and the policy's pace.

import { Camera } from "/web/cameras.js";
import { byId, createElement, describe, setText } from "/web/dom.js";

const LEVEL = ["good", "warn", "bad"];

export class PolicyPanel {
  constructor() {
    this.running = false;
    this.frames = ["predicted_static", "predicted_wrist"].map((role) => new Camera(role, () => this.running));
    byId("policy-frames").append(...this.frames.map((frame) => frame.element));
    this.call = new CallPanel(byId("policy"));
  }

  /** policy: of the server's state, {} without a policy. */
  update(policy) {
    this.running = Object.keys(policy).length > 0;
    byId("policy").hidden = !this.running;
    this.call.update(policy.call);
    if (!this.running) return;
    setText("policy-state", policy.message || "The policy runs", LEVEL[policy.level] ?? "bad");
    const rows = [
      ["Score, static", score(policy.score_static, policy.limit, policy.static_local)],
      ["Score, wrist", score(policy.score_wrist, policy.limit, policy.wrist_local)],
      ["Steps", Number.isFinite(policy.rate_hz) ? `${policy.rate_hz.toFixed(1)} Hz` : "–"],
      ["Inference", Number.isFinite(policy.inference_p50_ms) ? `${policy.inference_p50_ms.toFixed(0)} ms` : "–"],
    ];
    const key = JSON.stringify(rows);
    if (key === this.shown) return;
    this.shown = key;
    byId("policy-figures").replaceChildren(...rows.map(([term, meaning]) => describe(term, meaning)));
    byId("policy-figures").title = "Score 1: the largest difference between prediction and image in undisturbed runs";
    for (const [index, value] of [policy.score_static, policy.score_wrist].entries()) {
      byId("policy-figures").children[index].classList.toggle("bad", policy.limit > 0 && value > policy.limit);
    }
  }
}

/** The policy's call: why, predicted beside real, and the button that confirms. */
class CallPanel {
  constructor(parent) {
    this.image = createElement("img", { alt: "Predicted beside real image of the call" });
    this.why = createElement("p", { className: "call-why" });
    this.answer = createElement("p", { className: "small" });
    this.button = createElement("button", { id: "confirm-call", type: "button", className: "primary" }, "Confirm: no danger");
    this.button.addEventListener("click", () => this.#confirm());
    const help = createElement("p", { className: "small muted" }, "The policy moves at half speed. Grip to take over, or confirm; without an answer the arm stops.");
    this.element = createElement("section", { id: "policy-call", className: "call", hidden: true }, this.image, createElement("div", {}, this.why, help, this.button, this.answer));
    this.element.setAttribute("role", "alert");
    parent.prepend(this.element); // first of all: a person has seconds to answer
  }

  /** call: of policy/call, undefined where none is open. */
  update(call) {
    this.element.hidden = !call;
    if (!call || call.number === this.number) return;
    this.number = call.number;
    setText(this.why, `The policy calls: ${call.reason}`);
    setText(this.answer, "");
    this.image.src = `/stream/call.jpg?n=${call.number}`;
  }

  async #confirm() {
    try {
      const response = await fetch("/api/confirm", { method: "POST" });
      setText(this.answer, response.ok ? (await response.json()).text : await response.text());
    } catch (error) {
      setText(this.answer, `Not confirmed: ${error.message}`);
    }
  }
}

/** residual: what is known of a checkpoint that was never calibrated. */
function score(value, limit, residual) {
  if (!Number.isFinite(value)) return Number.isFinite(residual) ? `${residual.toFixed(1)} grey levels, not calibrated` : "–";
  return `${value.toFixed(2)}${limit > 0 ? ` of ${limit.toFixed(1)}` : ""}`;
}
