// The newest picture of a camera into an image element, again and again.

const PERIOD_MS = 100;
const AGAIN_MS = 1500;

export class Feed {
  /** onPicture(image); onNone(): there is no picture now; wanted(): whether anybody looks. */
  constructor(role, { image = new Image(), onPicture, onNone = () => {}, wanted = () => true }) {
    Object.assign(this, { role, image, wanted });
    this.number = 0;
    this.timer = 0;
    image.addEventListener("load", () => {
      onPicture(image);
      this.#later(PERIOD_MS - (performance.now() - this.asked));
    });
    image.addEventListener("error", () => {
      onNone();
      this.#later(AGAIN_MS);
    });
    this.#ask();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  #ask() {
    if (!this.wanted()) return this.#later(AGAIN_MS);
    this.asked = performance.now();
    this.number += 1;
    this.image.src = `/stream/${this.role}.jpg?n=${this.number}`;
  }

  #later(ms) {
    if (!this.stopped) this.timer = setTimeout(() => this.#ask(), Math.max(0, ms));
  }
}
