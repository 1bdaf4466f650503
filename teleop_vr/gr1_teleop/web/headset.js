// One immersive session: reads the hands in every XR frame, sends them to the server, and shows the server's state.

import { ImageStream } from "/web/image_stream.js";
import { Hud } from "/web/hud.js";
import { layoutLabel } from "/web/labels.js";
import { Hand, Phone } from "/web/xr_inputs.js";
import { Scene } from "/web/scene.js";

// The server's clutch has its own thresholds. These, equal to its defaults, only select the active hand.
const PRESSED = 0.7;
const OPEN = 0.4;
// Deflection of a thumbstick from which it chooses another instruction.
const FLICK = 0.7;

export class Headset {
  /**
   * kind: headset or phone; mode: immersive-ar or immersive-vr; channel: to the server; overlay: the element that a phone
   * shows over its camera; layout: the hand that may drive, either | right | left; onEnd(): the session has ended.
   */
  constructor({ kind, mode, channel, overlay = null, layout = "either", onEnd }) {
    Object.assign(this, { kind, mode, channel, overlay, layout, onEnd });
    this.hands = kind === "phone" ? [new Phone()] : [new Hand("right"), new Hand("left")];
    this.active = this.hands.find((hand) => hand.side === layout) ?? this.hands[0];
    this.squeezed = new Map();
    this.pressed = { a: false, b: false, flick: 0 };
    this.sequence = 0;
    this.state = null;
    this.hud = new Hud();
  }

  /** Call it from a click handler. Throws the browser's error if there is no session. */
  async enter() {
    const optional = ["local-floor", "hand-tracking", ...(this.kind === "phone" ? ["dom-overlay"] : [])];
    const options = { optionalFeatures: optional };
    if (this.kind === "phone") options.domOverlay = { root: this.overlay };
    this.session = await navigator.xr.requestSession(this.mode, options);
    this.session.addEventListener("end", () => this.#ended());
    this.session.addEventListener("visibilitychange", () => this.#visibility());
    this.session.addEventListener("selectstart", (event) => this.#select(event, true));
    this.session.addEventListener("selectend", (event) => this.#select(event, false));
    const canvas = document.createElement("canvas");
    const gl = canvas.getContext("webgl2", { xrCompatible: true, alpha: true, antialias: true });
    if (!gl) throw new Error("this browser has no WebGL2: update it");
    const opaque = this.session.environmentBlendMode === "opaque";
    this.scene = new Scene(gl, { opaque });
    // Without passthrough the operator sees the robot through its camera.
    if (opaque) this.stream = new ImageStream("static", { onImage: (image) => this.scene.setTexture("camera", image) });
    await this.session.updateRenderState({ baseLayer: new XRWebGLLayer(this.session, gl), depthNear: 0.05, depthFar: 30 });
    this.space = await this.session.requestReferenceSpace("local-floor").catch(() => this.session.requestReferenceSpace("local"));
    this.space.addEventListener("reset", () => this.#recenter());
    this.channel.open();
    this.session.requestAnimationFrame((_, frame) => this.#frame(frame));
  }

  leave() {
    this.session?.end().catch(() => {}); // already ended
  }

  /** The server's state message. */
  setState(state) {
    this.state = state;
    for (const pulse of state.haptics ?? []) this.#pulse(pulse);
  }

  /** action: start | success | failure | discard | next_task | previous_task. A: start, or success while an episode is running. */
  sendAction(action) {
    this.channel.send({ type: "episode", action }, { urgent: true });
  }

  pressA() {
    this.sendAction(this.state?.recording?.state === "recording" ? "success" : "start");
  }

  pressB() {
    this.sendAction("discard");
  }

  #frame(frame) {
    this.session.requestAnimationFrame((_, next) => this.#frame(next));
    const sources = [...this.session.inputSources];
    const samples = this.hands.map((hand) => hand.read(frame, this.space, sourceOf(hand.side, sources)));
    const sample = this.#operator(samples);
    this.#sendSample(sample);
    this.#buttons(samples);
    const viewer = frame.getViewerPose(this.space);
    if (viewer) this.#draw(frame, viewer, sources);
  }

  /** The active hand: of those that may drive the one that was squeezed last, while the other is open or out of sight. */
  #operator(samples) {
    const active = samples[this.hands.indexOf(this.active)];
    samples.forEach((sample, index) => {
      const hand = this.hands[index];
      const before = this.squeezed.get(hand) ?? false;
      // A grip that loosens a little and tightens again is still the same grip.
      const squeezed = sample.squeeze >= (before ? OPEN : PRESSED);
      const rising = squeezed && !before;
      this.squeezed.set(hand, squeezed);
      const may_drive = this.layout === "either" || this.kind === "phone" || hand.side === this.layout;
      if (hand !== this.active && may_drive && rising && sample.tracked && (active.squeeze < OPEN || !active.tracked)) this.active = hand;
    });
    return samples[this.hands.indexOf(this.active)];
  }

  #sendSample(sample) {
    const visible = this.session.visibilityState === "visible";
    const sent = this.channel.send({ type: "pose", seq: this.sequence + 1, t: performance.now(), ...sample, visible });
    if (sent) this.sequence += 1;
  }

  /** by: 1 or -1; the next or previous instruction of the task list, between episodes only. */
  stepTask(by) {
    if (this.state?.recording?.state !== "recording" && this.state?.tasks?.length) this.sendAction(by > 0 ? "next_task" : "previous_task");
  }

  #buttons(samples) {
    const pushed = this.hands.map((hand) => hand.flick).find((flick) => Math.abs(flick) > FLICK) ?? 0;
    const now = { flick: Math.sign(pushed), a: samples.some((sample) => sample.buttons.a), b: samples.some((sample) => sample.buttons.b) };
    if (now.a && !this.pressed.a) this.pressA();
    if (now.b && !this.pressed.b) this.pressB();
    if (now.flick && !this.pressed.flick && this.state?.clutch !== "engaged") this.stepTask(now.flick);
    this.pressed = now;
  }

  #draw(frame, viewer, sources) {
    // A phone shows the state in its overlay.
    const in_overlay = this.kind === "phone" && this.session.domOverlayState;
    const driver = { kind: this.active.bare ? "bare" : this.kind, side: this.active.side, idle: this.kind === "phone" ? "" : layoutLabel(this.layout) };
    if (!in_overlay && this.hud.update(this.channel.status, this.state, driver)) this.scene.setTexture("panel", this.hud.canvas);
    const engaged = this.channel.status.phase === "open" ? (this.state?.clutch ?? "open") : "open";
    const hands = [];
    for (const source of this.kind === "phone" ? [] : sources) {
      const pose = source.gripSpace && frame.getPose(source.gripSpace, this.space);
      if (pose) hands.push({ matrix: pose.transform.matrix, tone: source.handedness === this.active.side ? engaged : "open" });
    }
    this.scene.draw(this.session.renderState.baseLayer, viewer, hands);
  }

  #pulse({ ms, strength }) {
    const source = [...this.session.inputSources].find((one) => one.handedness === this.active.side);
    const motors = source?.gamepad?.hapticActuators?.[0];
    if (motors?.pulse) motors.pulse(strength, ms);
    else if (source?.gamepad?.vibrationActuator) source.gamepad.vibrationActuator.playEffect("dual-rumble", { duration: ms, strongMagnitude: strength });
    else if (this.kind === "phone") navigator.vibrate?.(ms);
  }

  #select(event, begins) {
    const hand = this.kind === "phone" ? this.hands[0] : this.hands.find((one) => one.side === event.inputSource.handedness);
    if (hand) hand.selecting = begins;
  }

  #recenter() {
    if (this.channel.send({ type: "recenter", seq: this.sequence + 1, t: performance.now() }, { urgent: true })) this.sequence += 1;
    this.scene.recenter();
  }

  /** Frames may stop while a system menu is open: tells the server at once instead of by a timeout. */
  #visibility() {
    if (this.session.visibilityState === "visible") return;
    const { side, last } = this.active;
    this.#sendSample({ hand: side, tracked: false, position: null, orientation: null, ...last, buttons: { a: false, b: false, stick: false } });
  }

  #ended() {
    this.stream?.stop();
    this.channel.close();
    this.onEnd();
  }
}

/** The controller or hand of a side; if there is neither, the pinch that some headsets report as a transient input. */
function sourceOf(side, sources) {
  const own = sources.filter((source) => source.handedness === side);
  return own.find((source) => source.gamepad || source.hand) ?? own[0] ?? null;
}
