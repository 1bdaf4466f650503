// What an XR input source says, as the operator's message wants it: pose in the floor's frame, squeeze, trigger, buttons.

// xr-standard gamepad mapping: https://www.w3.org/TR/webxr-gamepads-module-1/#xr-standard-gamepad-mapping
const TRIGGER = 0;
const SQUEEZE = 1;
const STICK = 3;
const LOWER = 4;
const UPPER = 5;

const CURLING = ["middle", "ring", "pinky"];
const BONES = ["metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip"];
// Straight over bent length of a finger: 1 stretched, about 0.4 in a fist.
const STRETCHED = 0.85;
const FIST = 0.55;
// Distance of the tips of thumb and index finger, m.
const PINCHED_M = 0.02;
const APART_M = 0.08;

const NO_BUTTONS = { a: false, b: false, stick: false };

/** Reads one hand's source again and again; keeps what must not be forgotten when it goes away. */
export class Hand {
  constructor(side) {
    this.side = side;
    this.selecting = false;
    this.passing = false;
    this.measured = false;
    this.last = { squeeze: 0, trigger: 0 };
  }

  /** One sample of this frame; source is null while the controller is away. */
  read(frame, space, source) {
    if (!source) {
      // The squeeze of a controller that went away is unknown. Its last value stands, so that nobody takes the loss
      // for a hand that has let go. A pinch that ends, however, takes its source with it: that is letting go.
      if (this.passing && !this.selecting) this.last.squeeze = 0;
      return { hand: this.side, tracked: false, position: null, orientation: null, ...this.last, buttons: NO_BUTTONS };
    }
    const values = source.hand ? fingers(frame, source.hand) : buttons(source.gamepad, this.selecting);
    this.last = { squeeze: values.squeeze, trigger: values.trigger };
    this.passing = !source.hand && !source.gamepad;
    return { hand: this.side, ...this.#place(gripPose(frame, space, source)), ...values };
  }

  /**
   * A position that the device only guesses (a controller out of the cameras' sight) is no position to follow. Some
   * runtimes call every position emulated; that word counts only from a device that has said once that it measures.
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

/** The phone itself is the hand: its pose is the viewer's, a finger on the glass holds the clutch. */
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
    this.forward = false; // a press of one frame
    return { ...sample, trigger: this.gripper, buttons: { ...NO_BUTTONS, stick } };
  }
}

function gripPose(frame, space, source) {
  const grip = source.gripSpace ?? source.hand?.get("wrist") ?? source.targetRaySpace;
  return grip ? frame.getPose(grip, space) : null;
}

function buttons(gamepad, selecting) {
  // Without a gamepad (a pinch seen by the headset) the select gesture is all there is: it holds the clutch.
  if (!gamepad) return { squeeze: selecting ? 1 : 0, trigger: 0, buttons: NO_BUTTONS };
  const value = (index) => clamp(gamepad.buttons[index]?.value ?? 0);
  const pressed = (index) => gamepad.buttons[index]?.pressed ?? false;
  return {
    squeeze: value(SQUEEZE),
    trigger: value(TRIGGER),
    buttons: { a: pressed(LOWER), b: pressed(UPPER), stick: pressed(STICK) },
  };
}

/** Bare hands: three fingers make the fist that holds the clutch, thumb and index finger are the gripper. */
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
  // The finger that is bent least counts: a hand that opens lets go at once.
  const squeeze = clamp((STRETCHED - Math.max(...stretch)) / (STRETCHED - FIST));
  const trigger = thumb && index ? clamp((APART_M - distance(thumb, index)) / (APART_M - PINCHED_M)) : 0;
  return { squeeze, trigger, buttons: NO_BUTTONS };
}

const clamp = (value) => Math.min(1, Math.max(0, value));
const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
