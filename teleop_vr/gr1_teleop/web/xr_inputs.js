// Converts an XR input source to the fields of the operator's message: pose in local-floor, squeeze, trigger, buttons.

// xr-standard gamepad mapping: https://www.w3.org/TR/webxr-gamepads-module-1/#xr-standard-gamepad-mapping
const TRIGGER = 0;
const SQUEEZE = 1;
const STICK = 3;
const LOWER = 4;
const UPPER = 5;
const STICK_X = 2;

const CURLING = ["middle", "ring", "pinky"];
const BONES = ["metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip"];
// Distance from root to tip divided by the length of a finger: 1 if stretched, about 0.4 in a fist.
const STRETCHED = 0.85;
const FIST = 0.55;
// Distance between the tips of thumb and index finger, m.
const PINCHED_M = 0.02;
const APART_M = 0.08;

const NO_BUTTONS = { a: false, b: false, stick: false };

/** Reads the input source of one hand; keeps the last squeeze and trigger while the source is lost. */
export class Hand {
  constructor(side) {
    this.side = side;
    this.selecting = false;
    this.passing = false;
    this.measured = false;
    this.source = null;
    this.bare = false;
    // Sideways deflection of the thumbstick, -1 .. 1.
    this.flick = 0;
    this.last = { squeeze: 0, trigger: 0 };
  }

  /** The sample of this frame; source: null while the controller is lost. */
  read(frame, space, source) {
    this.flick = source?.gamepad?.axes?.[STICK_X] ?? 0;
    if (!source) {
      // The squeeze of a lost controller is unknown. The last value is kept, so that the loss does not look like a release.
      // The end of a pinch also removes its source, but that is a release.
      if (this.passing && !this.selecting) this.last.squeeze = 0;
      return { hand: this.side, tracked: false, position: null, orientation: null, ...this.last, buttons: NO_BUTTONS };
    }
    // Another controller, or a bare hand instead of one: its position must not be taken for a motion of the former, and its squeeze
    // must not go on with the former's. One frame without tracking opens the clutch; the hand must then be seen open.
    // A pinch that the headset reports is a new source each time.
    const lasting = Boolean(source.hand || source.gamepad);
    const swapped = lasting && this.source !== null && this.source !== source;
    if (lasting) this.source = source;
    this.bare = Boolean(source.hand);
    if (swapped) this.measured = false;
    const values = source.hand ? fingers(frame, source.hand) : buttons(source.gamepad, this.selecting);
    this.last = { squeeze: values.squeeze, trigger: values.trigger };
    this.passing = !source.hand && !source.gamepad;
    if (swapped) return { hand: this.side, tracked: false, position: null, orientation: null, ...values };
    return { hand: this.side, ...this.#place(gripPose(frame, space, source)), ...values };
  }

  /**
   * An emulated position (a controller out of the cameras' sight) must not be followed. Some runtimes report every position
   * as emulated; so the flag counts only after the device has once reported a measured position.
   */
  #place(pose) {
    if (pose && !pose.emulatedPosition) this.measured = true;
    if (!pose || (pose.emulatedPosition && this.measured)) return { tracked: false, position: null, orientation: null };
    const { position: p, orientation: q } = pose.transform;
    const [position, orientation] = [[p.x, p.y, p.z], [q.x, q.y, q.z, q.w]];
    if (![...position, ...orientation].every(Number.isFinite)) return { tracked: false, position: null, orientation: null };
    return { tracked: true, position, orientation };
  }
}

/** The phone is the hand: its pose is the viewer's pose; a finger on the screen holds the clutch. */
export class Phone extends Hand {
  constructor() {
    super("right");
    this.gripper = 0;
    this.forward = false;
  }

  read(frame, space) {
    const pose = frame.getViewerPose(space);
    const sample = super.read({ getPose: () => pose }, space, { gripSpace: {}, gamepad: null });
    const stick = this.forward;
    this.forward = false; // a press lasts one frame
    return { ...sample, trigger: this.gripper, buttons: { ...NO_BUTTONS, stick } };
  }
}

function gripPose(frame, space, source) {
  const grip = source.gripSpace ?? source.hand?.get("wrist") ?? source.targetRaySpace;
  return grip ? frame.getPose(grip, space) : null;
}

function buttons(gamepad, selecting) {
  // Without a gamepad (a pinch seen by the headset) there is only the select gesture: it holds the clutch.
  if (!gamepad) return { squeeze: selecting ? 1 : 0, trigger: 0, buttons: NO_BUTTONS };
  const value = (index) => clamp(gamepad.buttons[index]?.value ?? 0);
  const pressed = (index) => gamepad.buttons[index]?.pressed ?? false;
  return {
    squeeze: value(SQUEEZE),
    trigger: value(TRIGGER),
    buttons: { a: pressed(LOWER), b: pressed(UPPER), stick: pressed(STICK) },
  };
}

/** Bare hands: bending three fingers holds the clutch; thumb and index finger control the gripper. */
function fingers(frame, hand) {
  const at = (name) => {
    const joint = hand.get(name);
    const position = joint && frame.getJointPose?.(joint, hand.get("wrist"))?.transform.position;
    return position && [position.x, position.y, position.z];
  };
  const stretch = CURLING.map((finger) => {
    const joints = BONES.map((bone) => at(`${finger}-finger-${bone}`));
    if (joints.some((joint) => !joint)) return 1;
    const bent = joints.slice(1).reduce((sum, joint, index) => sum + distance(joint, joints[index]), 0);
    return distance(joints[0], joints.at(-1)) / bent;
  });
  const [thumb, index] = [at("thumb-tip"), at("index-finger-tip")];
  // The straightest finger counts, so that an opening hand releases at once.
  const squeeze = clamp((STRETCHED - Math.max(...stretch)) / (STRETCHED - FIST));
  const trigger = thumb && index ? clamp((APART_M - distance(thumb, index)) / (APART_M - PINCHED_M)) : 0;
  return { squeeze, trigger, buttons: NO_BUTTONS };
}

const clamp = (value) => Math.min(1, Math.max(0, value));
const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
