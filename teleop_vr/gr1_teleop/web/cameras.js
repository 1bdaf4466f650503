// The newest picture of each camera, again and again; says so when there is none or when it is old.

import { made, text } from "/web/dom.js";

const PERIOD_MS = 100;
const AGAIN_MS = 1500;
const OLD_S = 0.5;
const LABEL = { static: "Static camera", wrist: "Wrist camera" };

export class Camera {
  constructor(role) {
    this.role = role;
    this.picture = made("img", { alt: LABEL[role] ?? role, decoding: "async" });
    this.note = made("p", { className: "camera-note", hidden: true });
    this.rate = made("span", { className: "muted" });
    const name = made("figcaption", {}, made("span", {}, LABEL[role] ?? role), this.rate);
    this.element = made("figure", { className: "camera" }, made("div", { className: "frame" }, this.picture, this.note), name);
    this.picture.addEventListener("load", () => this.#arrived());
    this.picture.addEventListener("error", () => this.#failed());
    this.stamp = 0;
    this.shown = false;
    this.ask();
  }

  /** The next picture; with the page hidden there is nobody to show it to. */
  ask() {
    if (document.hidden) {
      document.addEventListener("visibilitychange", () => this.ask(), { once: true });
      return;
    }
    this.asked = performance.now();
    this.stamp += 1;
    this.picture.src = `/stream/${this.role}.jpg?n=${this.stamp}`;
  }

  /** topic: {hz, expected_hz, age_s} of the camera's pictures, as far as the server knows. */
  tell(topic) {
    text(this.rate, Number.isFinite(topic?.hz) ? `${topic.hz.toFixed(0)} Hz` : "");
    if (this.shown) this.#say(topic?.age_s > OLD_S ? `Picture is ${topic.age_s.toFixed(topic.age_s < 10 ? 1 : 0)} s old` : "");
  }

  #arrived() {
    if (!this.shown) this.#say("");
    this.shown = true;
    setTimeout(() => this.ask(), Math.max(0, PERIOD_MS - (performance.now() - this.asked)));
  }

  #failed() {
    this.shown = false;
    this.#say("No picture");
    setTimeout(() => this.ask(), AGAIN_MS);
  }

  #say(words) {
    this.note.hidden = !words;
    this.picture.classList.toggle("dim", Boolean(words));
    if (words) text(this.note, words);
  }
}
