// The desk control panel: key caps, their meaning, and the state.

import { byId, createElement, setText } from "/web/dom.js";
import { DeskControl } from "/web/desk_control.js";
import { AXES } from "/web/keyboard.js";
import { clutchLabel, milliseconds } from "/web/labels.js";

// Left hand: translation; right hand: rotation.
const CLUSTERS = [
  ["KeyQ", "KeyW", "KeyE", "KeyA", "KeyS", "KeyD"],
  ["KeyU", "KeyI", "KeyO", "KeyJ", "KeyK", "KeyL"],
];

export class DeskPanel {
  constructor() {
    this.caps = new Map();
    this.control = new DeskControl(() => this.#show());
    for (const keys of CLUSTERS) byId("keys").append(createElement("div", { className: "cluster" }, ...keys.map((key) => this.#cap(key, key.slice(3), AXES[key][3]))));
    byId("keys").append(createElement("div", { className: "cluster wide" }, this.#cap("Shift", "Shift", "hold to move"), this.#cap("Space", "Space", "gripper")));
    byId("take").addEventListener("click", () => {
      if (this.control.active) this.control.stop();
      else this.control.start();
      byId("take").blur(); // Space must move the gripper, not press this button again
    });
    byId("speed").addEventListener("input", () => {
      this.control.speed = Number(byId("speed").value);
      this.#show();
    });
    this.#show();
  }

  #cap(key, name, meaning) {
    const cap = createElement("div", { className: "cap" }, createElement("kbd", {}, name), createElement("span", {}, meaning));
    this.caps.set(key, cap);
    return cap;
  }

  #show() {
    const { control } = this;
    const { phase, why } = control.channel.status;
    byId("desk-body").hidden = !control.active;
    setText("take", control.active ? "Leave control" : "Take control");
    if (!control.active) {
      const refused = ["busy", "unpaired", "forbidden"].includes(phase);
      setText("desk-state", refused ? why : "Move the arm with keyboard, gamepad or SpaceMouse.", refused ? "bad" : "");
      return;
    }
    const label = clutchLabel(control.state ?? {}, "desk");
    if (phase !== "open") setText("desk-state", phase === "connecting" ? "Connecting" : `${why}. Trying again.`, phase === "connecting" ? "calm" : "bad");
    else setText("desk-state", `${label.text}${label.detail ? ` (${label.detail})` : ""}`, label.tone);
    setText("speed-value", `${Math.round(control.speed * 100)} %`);
    setText("gripper", control.motion.gripper > 0.5 ? "closed" : "open");
    const round = Number.isFinite(control.state?.rtt_ms) ? `Round trip ${milliseconds(control.state.rtt_ms)}` : "";
    setText("pad", [control.motion.pad, round].filter(Boolean).join(" · "));
    const down = control.keyboard.down;
    for (const [key, cap] of this.caps) cap.classList.toggle("down", down.has(key) || (key === "Shift" && control.motion.held));
  }
}
