// A camera's live image on the page, with a note if there is none or if it is old.

import { createElement, setText } from "/web/dom.js";
import { ImageStream } from "/web/image_stream.js";

const OLD_S = 0.5;
const LABEL = { static: "Static camera", wrist: "Wrist camera", predicted_static: "Predicted, static", predicted_wrist: "Predicted, wrist" };

export class Camera {
  /** wanted(): whether its images are shown now. */
  constructor(role, wanted = () => true) {
    this.role = role;
    this.shown = false;
    this.image = createElement("img", { alt: LABEL[role] ?? role, decoding: "async", hidden: true });
    this.note = createElement("p", { className: "camera-note", hidden: true });
    const name = createElement("figcaption", {}, createElement("span", {}, LABEL[role] ?? role));
    this.element = createElement("figure", { className: "camera" }, createElement("div", { className: "frame" }, this.image, this.note), name);
    this.stream = new ImageStream(role, {
      image: this.image,
      onImage: () => this.#show(true),
      onNone: () => this.#show(false),
      wanted: () => !document.hidden && wanted(),
    });
  }

  /** topic: {age_s} of the camera's topic, as far as the server knows. */
  update(topic) {
    if (this.shown) this.#setNote(topic?.age_s > OLD_S ? `Image is ${topic.age_s.toFixed(topic.age_s < 10 ? 1 : 0)} s old` : "");
  }

  #show(shown) {
    if (shown !== this.shown || !shown) this.#setNote(shown ? "" : "No image");
    this.shown = shown;
    this.image.hidden = !shown;
  }

  #setNote(note) {
    this.note.hidden = !note;
    this.image.classList.toggle("dim", Boolean(note));
    if (note) setText(this.note, note);
  }
}
