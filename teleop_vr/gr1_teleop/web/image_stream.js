// Loads the newest image of a camera into an image element again and again.

const PERIOD_MS = 100;
const RETRY_MS = 1500;
// A request into a network that is gone never ends by itself.
const HUNG_MS = 3000;

export class ImageStream {
  /** onImage(image); onNone(): there is no image now; wanted(): whether the images are shown. */
  constructor(role, { image = new Image(), onImage, onNone = () => {}, wanted = () => true }) {
    Object.assign(this, { role, image, wanted });
    this.number = 0;
    this.timer = 0;
    image.addEventListener("load", () => {
      onImage(image);
      this.#schedule(PERIOD_MS - (performance.now() - this.requested));
    });
    image.addEventListener("error", () => {
      onNone();
      this.#schedule(RETRY_MS);
    });
    this.#request();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  #request() {
    if (!this.wanted()) return this.#schedule(RETRY_MS);
    this.requested = performance.now();
    this.number += 1;
    this.image.src = `/stream/${this.role}.jpg?n=${this.number}`;
    this.#schedule(HUNG_MS);
  }

  #schedule(ms) {
    clearTimeout(this.timer);
    if (!this.stopped) this.timer = setTimeout(() => this.#request(), Math.max(0, ms));
  }
}
