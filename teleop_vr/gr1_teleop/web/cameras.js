// A camera's live picture on the page, with a word when there is none or when it is old.

import { made, text } from "/web/dom.js";
import { Feed } from "/web/feed.js";

const OLD_S = 0.5;
const LABEL = { static: "Static camera", wrist: "Wrist camera" };

export class Camera {
  constructor(role) {
    this.role = role;
    this.shown = false;
    this.picture = made("img", { alt: LABEL[role] ?? role, decoding: "async" });
    this.note = made("p", { className: "camera-note", hidden: true });
    this.rate = made("span", { className: "muted" });
    const name = made("figcaption", {}, made("span", {}, LABEL[role] ?? role), this.rate);
    this.element = made("figure", { className: "camera" }, made("div", { className: "frame" }, this.picture, this.note), name);
    this.feed = new Feed(role, {
      image: this.picture,
      onPicture: () => this.#show(true),
      onNone: () => this.#show(false),
      wanted: () => !document.hidden,
    });
  }

  /** topic: {hz, expected_hz, age_s} of the camera's pictures, as far as the server knows. */
  tell(topic) {
    text(this.rate, Number.isFinite(topic?.hz) ? `${topic.hz.toFixed(0)} Hz` : "");
    if (this.shown) this.#say(topic?.age_s > OLD_S ? `Picture is ${topic.age_s.toFixed(topic.age_s < 10 ? 1 : 0)} s old` : "");
  }

  #show(shown) {
    if (shown !== this.shown || !shown) this.#say(shown ? "" : "No picture");
    this.shown = shown;
  }

  #say(words) {
    this.note.hidden = !words;
    this.picture.classList.toggle("dim", Boolean(words));
    if (words) text(this.note, words);
  }
}
