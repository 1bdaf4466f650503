// Gamepads and SpaceMice (a browser shows both as gamepads) as a velocity in the arm's base frame: x forward, y left, z up.

const DEAD_ZONE = 0.1;
const PRESSED = 0.5;
// Browsers have no mapping for a SpaceMouse; its name or its USB IDs identify it. Chromium puts the IDs after the name, Firefox before.
const SPACE_MOUSE = /space ?(mouse|navigator|pilot|explorer)|3dconnexion|(^|vendor: )(256f\b|046d(-| product: )c62[0-9a-f])/i;

export class Pads {
  /** onGripper(): the right button of a SpaceMouse was pressed; gamepads use a trigger. */
  constructor(onGripper) {
    this.onGripper = onGripper;
    this.gripper_down = false;
  }

  /** {name, held, linear, angular, gripper} of the first usable device; zeros and the name of an unusable one; or null. */
  read() {
    const pads = [...(navigator.getGamepads?.() ?? [])].filter((one) => one?.connected);
    const pad = pads.find((one) => isGamepad(one) || isSpaceMouse(one));
    if (pad) return isGamepad(pad) ? gamepad(pad) : this.#spaceMouse(pad);
    return pads.length > 0 ? unused(pads[0]) : null;
  }

  /** Axes: x right, y towards the user, z down, then rotations about these. Left button: hold; right button: gripper. */
  #spaceMouse(pad) {
    const [x, y, z, about_x, about_y, about_z] = [0, 1, 2, 3, 4, 5].map((axis) => withDeadZone(pad.axes[axis] ?? 0));
    const down = value(pad, 1) > PRESSED;
    if (down && !this.gripper_down) this.onGripper();
    this.gripper_down = down;
    return {
      name: short(pad.id),
      held: value(pad, 0) > PRESSED,
      linear: [-y, -x, -z],
      angular: [-about_y, -about_x, -about_z],
      gripper: 0,
    };
  }
}

/** The standard gamepad: https://www.w3.org/TR/gamepad/#remapping */
function gamepad(pad) {
  const [left_x, left_y, right_x, right_y] = pad.axes.map(withDeadZone);
  const [a, b, x, y] = [0, 1, 2, 3].map((button) => (value(pad, button) > PRESSED ? 1 : 0));
  return {
    name: short(pad.id),
    held: value(pad, 4) > PRESSED || value(pad, 5) > PRESSED,
    linear: [-left_y, -left_x, -right_y],
    angular: [b - x, a - y, -right_x],
    gripper: value(pad, 7),
  };
}

/** The meaning of its axes and buttons is unknown: a trigger at rest may read as full speed. */
function unused(pad) {
  const name = `${short(pad.id)} is not used: neither a standard gamepad nor a SpaceMouse`;
  return { name, held: false, linear: [0, 0, 0], angular: [0, 0, 0], gripper: 0 };
}

const isGamepad = (pad) => pad.mapping === "standard" && pad.axes.length >= 4;
const isSpaceMouse = (pad) => pad.mapping !== "standard" && pad.axes.length >= 6 && SPACE_MOUSE.test(pad.id);
const value = (pad, button) => pad.buttons[button]?.value ?? 0;
const short = (id) => id.replace(/\s*\(.*/, "") || "Gamepad";

/** Dead zone around the centre, then linear up to 1: a stick that does not return exactly moves nothing. */
function withDeadZone(axis) {
  const beyond = Math.abs(axis) - DEAD_ZONE;
  return beyond <= 0 ? 0 : Math.sign(axis) * Math.min(1, beyond / (1 - DEAD_ZONE));
}
