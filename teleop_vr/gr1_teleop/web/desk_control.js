// Desk control: sends the sum of keyboard and gamepad 30 times a second while this page is the operator.

import { Channel } from "/web/channel.js";
import { device } from "/web/device.js";
import { Pads } from "/web/gamepad.js";
import { Keyboard } from "/web/keyboard.js";

const PERIOD_MS = 1000 / 30;

export class DeskControl {
  /** onChange(): the displayed state has changed. speed: share of the maximum speed, 0 .. 1. */
  constructor(onChange) {
    this.onChange = onChange;
    this.speed = 0.4;
    this.gripper = 0;
    this.sequence = 0;
    this.state = null;
    this.motion = atRest();
    this.timer = 0;
    this.keyboard = new Keyboard(() => this.toggleGripper());
    this.pads = new Pads(() => this.toggleGripper());
    this.channel = new Channel("/ws/operator", {
      hello: { type: "hello", device: device().name, kind: "desk", version: 1 },
      onMessage: (message) => this.#onMessage(message),
      onStatus: (status) => this.#onStatus(status),
    });
    this.hidden = () => document.hidden && this.#send();
  }

  get active() {
    return this.timer !== 0;
  }

  toggleGripper() {
    this.gripper = this.gripper > 0.5 ? 0 : 1;
    this.onChange();
  }

  start() {
    if (this.active) return;
    this.keyboard.start();
    document.addEventListener("visibilitychange", this.hidden);
    this.timer = setInterval(() => this.#send(), PERIOD_MS);
    this.channel.open();
    this.onChange();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    this.keyboard.stop();
    document.removeEventListener("visibilitychange", this.hidden);
    this.channel.close();
    this.state = null;
    this.motion = atRest();
    this.onChange();
  }

  /** The velocity of keys and pads, before scaling by `speed`. */
  read() {
    const keys = this.keyboard.read();
    const pad = this.pads.read();
    const sum = (group) => keys[group].map((value, axis) => clamp(value + (pad?.[group][axis] ?? 0)));
    return {
      held: keys.held || Boolean(pad?.held),
      linear: sum("linear"),
      angular: sum("angular"),
      gripper: Math.max(this.gripper, pad?.gripper ?? 0),
      pad: pad?.name ?? "",
    };
  }

  #send() {
    this.motion = this.read();
    const { held, linear, angular, gripper } = this.motion;
    const scaled = (axes) => axes.map((value) => value * this.speed);
    const message = { type: "velocity", held, linear: scaled(linear), angular: scaled(angular), gripper, visible: !document.hidden };
    if (this.channel.send({ ...message, seq: this.sequence + 1, t: performance.now() })) this.sequence += 1;
    this.onChange();
  }

  #onMessage(message) {
    if (message.type === "state") this.state = message;
    this.onChange();
  }

  #onStatus(status) {
    if (status.phase !== "open") this.state = null;
    // If there is another operator, the user must ask again: a waiting desk would take control unseen.
    if ((status.phase === "busy" || status.phase === "unpaired") && this.active) {
      this.stop();
      this.channel.status = status;
    }
    this.onChange();
  }
}

const atRest = () => ({ held: false, linear: [0, 0, 0], angular: [0, 0, 0], gripper: 0, pad: "" });
const clamp = (value) => Math.min(1, Math.max(-1, value));
