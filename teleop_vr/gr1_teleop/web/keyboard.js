// Keys as a velocity in the arm's base frame: x forward, y left, z up; only while Shift is held.

// Physical keys, so that the same fingers do the same on every layout: [group, axis, sign].
export const AXES = {
  KeyW: ["linear", 0, 1, "forward"],
  KeyS: ["linear", 0, -1, "back"],
  KeyA: ["linear", 1, 1, "left"],
  KeyD: ["linear", 1, -1, "right"],
  KeyE: ["linear", 2, 1, "up"],
  KeyQ: ["linear", 2, -1, "down"],
  KeyI: ["angular", 1, 1, "nod down"],
  KeyK: ["angular", 1, -1, "nod up"],
  KeyJ: ["angular", 2, 1, "turn left"],
  KeyL: ["angular", 2, -1, "turn right"],
  KeyU: ["angular", 0, -1, "roll left"],
  KeyO: ["angular", 0, 1, "roll right"],
};
const HOLD = ["ShiftLeft", "ShiftRight"];
const GRIPPER = "Space";

export class Keyboard {
  /** onGripper(): the gripper's key has been pressed. */
  constructor(onGripper) {
    this.down = new Set();
    this.onGripper = onGripper;
    this.listeners = [
      [window, "keydown", (event) => this.#press(event)],
      [window, "keyup", (event) => this.#release(event)],
      // Keys released while another window has the focus would be held for ever.
      [window, "blur", () => this.down.clear()],
      [document, "visibilitychange", () => this.down.clear()],
      // The menu keeps what is released while it is open to itself.
      [window, "contextmenu", () => this.down.clear()],
      [document, "focusin", () => typing() && this.down.clear()],
    ];
  }

  start() {
    for (const [target, name, listener] of this.listeners) target.addEventListener(name, listener);
  }

  stop() {
    for (const [target, name, listener] of this.listeners) target.removeEventListener(name, listener);
    this.down.clear();
  }

  read() {
    const motion = { held: HOLD.some((key) => this.down.has(key)), linear: [0, 0, 0], angular: [0, 0, 0] };
    for (const key of this.down) {
      const [group, axis, sign] = AXES[key] ?? [];
      if (group) motion[group][axis] += sign;
    }
    return motion;
  }

  #press(event) {
    this.#checkHold(event);
    // Some systems never tell of a key that is released during a shortcut.
    const shortcut = event.ctrlKey || event.metaKey || event.altKey;
    if (shortcut) this.down.clear();
    if (shortcut || typing()) return;
    if (event.code === GRIPPER) {
      if (!event.repeat) this.onGripper();
    } else if (!(event.code in AXES) && !HOLD.includes(event.code)) {
      return;
    }
    this.down.add(event.code);
    event.preventDefault();
  }

  #release(event) {
    this.#checkHold(event);
    this.down.delete(event.code);
    // Or it would press the button that was clicked last.
    if (event.code === GRIPPER && !typing()) event.preventDefault();
  }

  /** The dead man's switch: every key says whether a Shift is down, even where that Shift's own release got lost. */
  #checkHold(event) {
    if (!event.shiftKey) for (const key of HOLD) this.down.delete(key);
  }
}

const typing = () => document.activeElement?.matches("input:not([type=range]), textarea, [contenteditable]") ?? false;
