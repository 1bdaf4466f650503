// Keyboard as a velocity in the arm's base frame (x forward, y left, z up), while Shift is held.

// Physical keys, independent of the keyboard layout: [group, axis, sign, label].
export const AXES = {
  KeyW: ["linear", 0, 1, "forward"],
  KeyS: ["linear", 0, -1, "back"],
  KeyA: ["linear", 1, 1, "left"],
  KeyD: ["linear", 1, -1, "right"],
  KeyE: ["linear", 2, 1, "up"],
  KeyQ: ["linear", 2, -1, "down"],
  KeyI: ["angular", 1, 1, "pitch down"],
  KeyK: ["angular", 1, -1, "pitch up"],
  KeyJ: ["angular", 2, 1, "turn left"],
  KeyL: ["angular", 2, -1, "turn right"],
  KeyU: ["angular", 0, -1, "roll left"],
  KeyO: ["angular", 0, 1, "roll right"],
};
const HOLD = ["ShiftLeft", "ShiftRight"];
const GRIPPER = "Space";

export class Keyboard {
  /** onGripper(): the gripper key was pressed. */
  constructor(onGripper) {
    this.down = new Set();
    this.onGripper = onGripper;
    this.listeners = [
      [window, "keydown", (event) => this.#press(event)],
      [window, "keyup", (event) => this.#release(event)],
      // The release of a key is not reported while another window has the focus.
      [window, "blur", () => this.down.clear()],
      [document, "visibilitychange", () => this.down.clear()],
      // Releases while the context menu is open are not reported.
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
    // Some systems do not report a key released during a shortcut.
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
    // Otherwise Space would press the button that was clicked last.
    if (event.code === GRIPPER && !typing()) event.preventDefault();
  }

  /** The dead-man switch: every key event tells whether Shift is down, even if the release of Shift itself was lost. */
  #checkHold(event) {
    if (!event.shiftKey) for (const key of HOLD) this.down.delete(key);
  }
}

const typing = () =>
  document.querySelector("dialog[open]") !== null || (document.activeElement?.matches("input:not([type=range]), select, textarea, [contenteditable]") ?? false);
