// One immersive session: reads the hands at every XR frame, tells the server, and shows what the server answers.

import { Feed } from "/web/feed.js";
import { Hud } from "/web/hud.js";
import { Hand, Phone } from "/web/inputs.js";
import { Scene } from "/web/scene.js";

// The clutch's own thresholds are the server's; these, the same as its defaults, only say which hand is the operator's.
const PRESSED = 0.7;
const OPEN = 0.4;

export class Headset {
  /**
   * kind: headset or phone; mode: immersive-ar or immersive-vr; channel: to the server; overlay: the element that a phone
   * shows over its camera; onEnd(): the session is over.
   */
  constructor({ kind, mode, channel, overlay = null, onEnd }) {
    Object.assign(this, { kind, mode, channel, overlay, onEnd });
    this.hands = kind === "phone" ? [new Phone()] : [new Hand("right"), new Hand("left")];
    this.active = this.hands[0];
    this.squeezed = new Map();
    this.pressed = { a: false, b: false };
    this.sequence = 0;
    this.state = null;
    this.hud = new Hud();
  }

  /** Call it from a click; throws what the browser says when there is no session to be had. */
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
    if (!gl) throw new Error("this browser draws no WebGL2: update it");
    const opaque = this.session.environmentBlendMode === "opaque";
    this.scene = new Scene(gl, { opaque });
    // Who does not see the room sees the robot through its camera.
    if (opaque) this.feed = new Feed("static", { onPicture: (image) => this.scene.picture("camera", image) });
    await this.session.updateRenderState({ baseLayer: new XRWebGLLayer(this.session, gl), depthNear: 0.05, depthFar: 30 });
    this.space = await this.session.requestReferenceSpace("local-floor").catch(() => this.session.requestReferenceSpace("local"));
    this.space.addEventListener("reset", () => this.#recenter());
    this.channel.open();
    this.session.requestAnimationFrame((_, frame) => this.#frame(frame));
  }

  leave() {
    this.session?.end().catch(() => {}); // ended already: then there is nothing left to do
  }

  /** The server's state message. */
  take(state) {
    this.state = state;
    for (const pulse of state.haptics ?? []) this.#pulse(pulse);
  }

  /** action: start | success | failure | discard; A means start, or success while an episode runs. */
  episode(action) {
    this.channel.send({ type: "episode", action }, { urgent: true });
  }

  pressA() {
    this.episode(this.state?.recording?.state === "recording" ? "success" : "start");
  }

  pressB() {
    this.episode("discard");
  }

  #frame(frame) {
    this.session.requestAnimationFrame((_, next) => this.#frame(next));
    const sources = [...this.session.inputSources];
    const samples = this.hands.map((hand) => hand.read(frame, this.space, sourceOf(hand.side, sources)));
    const sample = this.#operator(samples);
    this.#tell(sample);
    this.#buttons(samples);
    const viewer = frame.getViewerPose(this.space);
    if (viewer) this.#draw(frame, viewer, sources);
  }

  /** The hand that leads: the one whose squeeze was pressed last, while the other is open or out of sight. */
  #operator(samples) {
    const leads = samples[this.hands.indexOf(this.active)];
    samples.forEach((sample, index) => {
      const hand = this.hands[index];
      const before = this.squeezed.get(hand) ?? false;
      // A grip that slackens a little and tightens again is still the same grip.
      const squeezed = sample.squeeze >= (before ? OPEN : PRESSED);
      const rising = squeezed && !before;
      this.squeezed.set(hand, squeezed);
      if (hand !== this.active && rising && sample.tracked && (leads.squeeze < OPEN || !leads.tracked)) this.active = hand;
    });
    return samples[this.hands.indexOf(this.active)];
  }

  #tell(sample) {
    const visible = this.session.visibilityState === "visible";
    const sent = this.channel.send({ type: "pose", seq: this.sequence + 1, t: performance.now(), ...sample, visible });
    if (sent) this.sequence += 1;
  }

  #buttons(samples) {
    const now = { a: samples.some((sample) => sample.buttons.a), b: samples.some((sample) => sample.buttons.b) };
    if (now.a && !this.pressed.a) this.pressA();
    if (now.b && !this.pressed.b) this.pressB();
    this.pressed = now;
  }

  #draw(frame, viewer, sources) {
    // A phone has its words on the glass.
    const on_glass = this.kind === "phone" && this.session.domOverlayState;
    if (!on_glass && this.hud.show(this.channel.status, this.state, this.kind)) this.scene.picture("panel", this.hud.canvas);
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

  /** Frames may stop while a system menu is open: the server is told at once, not only by the silence. */
  #visibility() {
    if (this.session.visibilityState === "visible") return;
    const { side, last } = this.active;
    this.#tell({ hand: side, tracked: false, position: null, orientation: null, ...last, buttons: { a: false, b: false, stick: false } });
  }

  #ended() {
    this.feed?.stop();
    this.channel.close();
    this.onEnd();
  }
}

/** A side's controller or hand; only if there is neither, the pinch that some headsets report as a passing input. */
function sourceOf(side, sources) {
  const own = sources.filter((source) => source.handedness === side);
  return own.find((source) => source.gamepad || source.hand) ?? own[0] ?? null;
}
