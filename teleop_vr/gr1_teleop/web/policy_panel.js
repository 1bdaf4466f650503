// A policy run live: the predicted frames, how well they agree with the real ones, and the policy's pace.

import { Camera } from "/web/cameras.js";
import { byId, describe, setText } from "/web/dom.js";

const LEVEL = ["good", "warn", "bad"];

export class PolicyPanel {
  constructor() {
    this.running = false;
    this.frames = ["predicted_static", "predicted_wrist"].map((role) => new Camera(role, () => this.running));
    byId("policy-frames").append(...this.frames.map((frame) => frame.element));
  }

  /** policy: of the server's state, {} without a policy. */
  update(policy) {
    this.running = Object.keys(policy).length > 0;
    byId("policy").hidden = !this.running;
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

/** residual: what is known of a checkpoint that was never calibrated. */
function score(value, limit, residual) {
  if (!Number.isFinite(value)) return Number.isFinite(residual) ? `${residual.toFixed(1)} grey levels, not calibrated` : "–";
  return `${value.toFixed(2)}${limit > 0 ? ` of ${limit.toFixed(1)}` : ""}`;
}
