// Desk control on the page: the key caps, what they do, and how it stands.

import { byId, made, text } from "/web/dom.js";
import { Drive } from "/web/drive.js";
import { AXES } from "/web/keyboard.js";
import { clutchWords, milliseconds } from "/web/words.js";

// As the fingers lie: left hand moves, right hand turns.
const CLUSTERS = [
  ["KeyQ", "KeyW", "KeyE", "KeyA", "KeyS", "KeyD"],
  ["KeyU", "KeyI", "KeyO", "KeyJ", "KeyK", "KeyL"],
];

export class DrivePanel {
  constructor() {
    this.caps = new Map();
    this.drive = new Drive(() => this.#show());
    for (const keys of CLUSTERS) byId("keys").append(made("div", { className: "cluster" }, ...keys.map((key) => this.#cap(key, key.slice(3), AXES[key][3]))));
    byId("keys").append(made("div", { className: "cluster wide" }, this.#cap("Shift", "Shift", "hold to move"), this.#cap("Space", "Space", "gripper")));
    byId("take").addEventListener("click", () => {
      if (this.drive.active) this.drive.stop();
      else this.drive.start();
      byId("take").blur(); // Space is the gripper, not this button again
    });
    byId("speed").addEventListener("input", () => {
      this.drive.speed = Number(byId("speed").value);
      this.#show();
    });
    this.#show();
  }

  #cap(key, name, meaning) {
    const cap = made("div", { className: "cap" }, made("kbd", {}, name), made("span", {}, meaning));
    this.caps.set(key, cap);
    return cap;
  }

  #show() {
    const { drive } = this;
    const { phase, why } = drive.channel.status;
    byId("drive-body").hidden = !drive.active;
    text("take", drive.active ? "Leave control" : "Take control");
    if (!drive.active) {
      const refused = phase === "busy" || phase === "unpaired";
      text("drive-state", refused ? why : "Keyboard, gamepad or SpaceMouse move the arm.", refused ? "bad" : "");
      return;
    }
    const words = clutchWords(drive.state ?? {}, "desk");
    if (phase !== "open") text("drive-state", phase === "connecting" ? "Connecting" : `${why}. Trying again.`, phase === "connecting" ? "calm" : "bad");
    else text("drive-state", `${words.text}${words.detail ? ` (${words.detail})` : ""}`, words.tone);
    text("speed-value", `${Math.round(drive.speed * 100)} %`);
    text("gripper", drive.motion.gripper > 0.5 ? "closed" : "open");
    const round = Number.isFinite(drive.state?.rtt_ms) ? `Round trip ${milliseconds(drive.state.rtt_ms)}` : "";
    text("pad", [drive.motion.pad, round].filter(Boolean).join(" · "));
    const down = drive.keyboard.down;
    for (const [key, cap] of this.caps) cap.classList.toggle("down", down.has(key) || (key === "Shift" && drive.motion.held));
  }
}
