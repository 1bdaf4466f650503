// The operator's page on an emulated Quest 3, against the real server: what the server hears is what the hands do.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { launch, open } from "./browser.mjs";
import { Rig } from "./rig.mjs";

const FEW = 20;
// The scene is drawn by the processor here.
const SMALL = { width: 640, height: 400 };
const near = (a, b) => a.length === b.length && a.every((value, axis) => Math.abs(value - b[axis]) < 1e-4);
const minus = (a, b) => a.map((value, axis) => value - b[axis]);

let rig, browser, page;

before(async () => {
  [rig, browser] = await Promise.all([Rig.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await rig?.stop();
});
afterEach(async () => {
  const mark = rig.mark;
  const entered = await page.evaluate(() => Boolean(window.quest?.device.activeSession));
  await page.context().close();
  if (entered) await rig.until("that the operator is gone", (line) => "gone" in line, mark);
  assert.deepEqual(page.problems, []);
});

/** Pairs, puts the headset on, presses the button; returns the place in what was said from which on it is this session. */
async function enter(options = {}) {
  const mark = rig.mark;
  page = await open(browser, rig.url, { headset: true, ...SMALL, ...options });
  await page.click("#enter");
  await pose("a first pose", () => true, mark);
  return mark;
}

const pose = (what, holds, mark = rig.mark) => rig.message(what, (message) => message.type === "pose" && holds(message), mark);
const quest = (call, ...given) => page.evaluate(([name, args]) => window.quest[name](...args), [call, given]);

describe("entering", () => {
  test("pairs with the token's address, which then is gone from the address bar, and says who it is first", async () => {
    const mark = await enter();
    assert.equal(new URL(page.url()).search, "");
    const connected = await rig.until("a connection", (line) => line.connected, mark);
    assert.deepEqual(connected, { connected: "headset", device: "Quest 3" });
  });

  test("goes into passthrough where there is any, and else into a drawn room", async () => {
    await enter();
    assert.equal(await page.evaluate(() => window.quest.device.activeSession.environmentBlendMode), "alpha-blend");
    await page.evaluate(() => window.quest.device.activeSession.end());
    await page.context().close();
    await enter({ mode: "immersive-vr" });
    assert.equal(await page.evaluate(() => window.quest.device.activeSession.environmentBlendMode), "opaque");
  });

  test("measures the round trip each second, by answering the host's pong with both of its times", async () => {
    const mark = await enter();
    const { t0, t1, host } = await rig.message("a round trip", (message) => message.type === "rtt", mark);
    assert.ok(t1 >= t0 && host > 0);
    assert.ok(rig.messages(mark).some((message) => message.type === "ping" && message.t === t0));
  });

  test("without a headset the page says so and leads to the desk", async () => {
    page = await open(browser, rig.url);
    await page.waitForFunction(() => document.querySelector("#headline").textContent === "No headset here");
    assert.equal(await page.isVisible("#enter"), false);
    assert.equal(await page.getAttribute("main a", "href"), "/desk");
  });
});

describe("the hand", () => {
  let mark;
  beforeEach(async () => {
    mark = await enter();
  });

  test("is told at every frame: numbers grow by one, times never go back, the pose is that of the grip", async () => {
    const first = await pose("the right hand", (message) => message.hand === "right" && message.tracked);
    await quest("move", "right", 0.3, 1.2, -0.45);
    const moved = await pose("the hand elsewhere", (message) => !near(message.position, first.position));
    assert.ok(near(minus(moved.position, first.position), [0.1, -0.1, -0.1]));
    assert.ok(Math.abs(Math.hypot(...moved.orientation) - 1) < 1e-3);
    await pose("some more frames", (message) => message.seq >= moved.seq + FEW);
    const poses = rig.messages(mark).filter((message) => message.type === "pose");
    for (const [index, message] of poses.slice(1).entries()) {
      assert.equal(message.seq, poses[index].seq + 1);
      assert.ok(message.t >= poses[index].t);
    }
    assert.deepEqual(Object.keys(moved).sort(), ["buttons", "hand", "orientation", "position", "seq", "squeeze", "t", "tracked", "trigger", "type", "visible"]);
  });

  test("squeeze, trigger and stick are told as far as they are pressed", async () => {
    await quest("press", "right", "squeeze", 0.9);
    await quest("press", "right", "trigger", 0.35);
    await quest("press", "right", "thumbstick", 1);
    const pressed = await pose("the pressed hand", (message) => message.squeeze > 0.8 && message.buttons.stick);
    assert.ok(Math.abs(pressed.squeeze - 0.9) < 1e-6 && Math.abs(pressed.trigger - 0.35) < 1e-6);
    assert.deepEqual(pressed.buttons, { a: false, b: false, stick: true });
    assert.equal(pressed.visible, true);
  });

  test("that leads is the one squeezed last, and the other cannot take over while it holds", async () => {
    await quest("press", "left", "squeeze");
    await pose("the left hand", (message) => message.hand === "left" && message.squeeze === 1);
    await quest("press", "right", "squeeze");
    const later = rig.mark;
    await quest("move", "left", -0.3, 1.3, -0.35);
    const still = await pose("the left hand, moved", (message) => message.position[0] < -0.25, later);
    assert.equal(still.hand, "left");
    await quest("press", "left", "squeeze", 0);
    await pose("the open left hand", (message) => message.hand === "left" && message.squeeze === 0);
    await quest("press", "right", "squeeze", 0);
    await quest("press", "left", "trigger", 1); // anything that shows that the frame has been read
    await pose("that frame", (message) => message.trigger === 1);
    await quest("press", "right", "squeeze");
    await pose("the right hand", (message) => message.hand === "right" && message.squeeze === 1);
  });

  test("that slackens and tightens again has not gripped anew: it leads only after it has been open", async () => {
    await quest("press", "right", "squeeze");
    await pose("the right hand", (message) => message.hand === "right" && message.squeeze === 1);
    const left = async (...squeezes) => {
      for (const squeeze of squeezes) {
        await quest("press", "left", "squeeze", squeeze);
        await quest("frames", 3);
      }
    };
    await left(1);
    await quest("press", "right", "squeeze", 0);
    await left(0.5, 1);
    for (const side of ["left", "right"]) await quest("press", side, "trigger", 1); // shows that the frames have been read, whoever leads
    assert.equal((await pose("those frames", (message) => message.trigger === 1)).hand, "right");
    await left(0.3, 1);
    await pose("the left hand", (message) => message.hand === "left" && message.squeeze === 1);
  });

  test("that is lost is told as untracked, still squeezed: a loss is no letting go", async () => {
    await quest("press", "right", "squeeze");
    await pose("the squeeze", (message) => message.squeeze === 1);
    await quest("lose", "right");
    const lost = await pose("the loss", (message) => !message.tracked);
    assert.deepEqual([lost.hand, lost.position, lost.orientation, lost.squeeze], ["right", null, null, 1]);
    await quest("lose", "right", false);
    await pose("the hand again", (message) => message.tracked && message.hand === "right");
  });

  test("is not to be followed while a system menu hides the page", async () => {
    await page.evaluate(() => window.quest.device.updateVisibilityState("visible-blurred"));
    await pose("a hidden page", (message) => message.visible === false);
    await page.evaluate(() => window.quest.device.updateVisibilityState("visible"));
    await pose("the page again", (message) => message.visible === true);
  });

  test("a recenter is told with a number of its own, between the poses", async () => {
    await page.evaluate(() => window.quest.device.recenter());
    const recenter = await rig.message("the recenter", (message) => message.type === "recenter", mark);
    await pose("the next pose", (message) => message.seq > recenter.seq);
    const numbers = rig.messages(mark).flatMap((message) => (message.seq === undefined ? [] : [message.seq]));
    assert.deepEqual(numbers, numbers.map((_, index) => numbers[0] + index));
  });

  test("bare: three bent fingers hold the clutch, and a stretched index finger keeps the gripper open", async () => {
    await page.evaluate(() => (window.quest.device.primaryInputMode = "hand"));
    await pose("an open hand", (message) => message.tracked && message.squeeze < 0.4);
    await page.evaluate(() => (window.quest.device.hands.right.poseId = "point"));
    const fist = await pose("a fist", (message) => message.squeeze > 0.7);
    assert.ok(fist.trigger < 0.3);
  });

  test("feels what the server tells it to feel, on its own side", async () => {
    rig.order({ pulse: { kind: "clutch", ms: 60, strength: 0.5 } });
    await page.waitForFunction(() => window.quest.pulses.length > 0);
    assert.deepEqual(await page.evaluate(() => window.quest.pulses), [{ side: "right", strength: 0.5, ms: 60 }]);
  });
});

describe("a phone", () => {
  const agent = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36";
  const glass = (button) => page.evaluate((id) => document.getElementById(id).click(), button);

  test("is its own hand: its pose, a finger on the glass for the clutch, buttons for the gripper and for what is forward", async () => {
    const mark = await enter({ agent });
    assert.equal((await rig.until("a phone", (line) => line.connected, mark)).connected, "phone");
    await page.evaluate(() => window.quest.device.position.set(0.25, 1.4, -0.5));
    const moved = await pose("the phone elsewhere", (message) => message.tracked && near(message.position, [0.25, 1.4, -0.5]));
    assert.equal(moved.squeeze, 0);
    await quest("press", "right", "trigger"); // the emulator's way to a select event, which on a phone is a touch
    await pose("the finger", (message) => message.squeeze === 1 && message.trigger === 0);
    await quest("press", "right", "trigger", 0);
    await pose("the finger lifted", (message) => message.squeeze === 0);
    await glass("phone-gripper");
    await pose("the gripper closed", (message) => message.trigger === 1);
    const before = rig.mark; // the press lasts one frame
    await glass("phone-forward");
    await pose("the stick", (message) => message.buttons.stick, before);
    await glass("phone-leave");
    await rig.message("goodbye", (message) => message.type === "bye", mark);
  });
});

describe("episodes", () => {
  test("A starts one, A twice saves it, B twice discards the next one", async () => {
    await enter();
    rig.order({ instruction: "open the drawer" });
    await listen();
    for (const [button, question, outcome] of [["a-button", "success", "success"], ["b-button", "discard", "discarded"]]) {
      await quest("tap", "right", "a-button");
      await recorder({ state: "recording" });
      await twice(button, question);
      await recorder({ state: "idle", outcome });
    }
  });

  /** Presses, waits for the question, presses again: in the page, since the question stands for three seconds only. */
  const twice = (button, question) =>
    page.evaluate(async ([pressed, asked]) => {
      await window.quest.tap("right", pressed);
      while (window.recording.confirm !== asked) await window.quest.frames(1);
      await window.quest.tap("right", pressed);
    }, [button, question]);

  /** Until the recording is told to be like this. */
  const recorder = (wanted) =>
    page.waitForFunction((fields) => Object.entries(fields).every(([name, value]) => window.recording[name] === value), wanted);

  /** Keeps what a page that watches is told of the recording, in `recording` of this page. */
  const listen = () =>
    page.evaluate(() => {
      window.recording = {};
      const socket = new WebSocket(`wss://${location.host}/ws/watch`);
      socket.onmessage = (event) => (window.recording = JSON.parse(event.data).recording ?? window.recording);
    });
});

describe("the connection", () => {
  test("comes back after the server was away, and numbers go on growing", async () => {
    await enter();
    const before_it = await pose("a pose", () => true);
    const mark = rig.mark;
    rig.order({ restart: true });
    await rig.until("a new connection", (line) => line.connected, mark);
    const after_it = await pose("a pose", () => true, mark);
    assert.ok(after_it.seq > before_it.seq);
  });

  test("a second operator is refused while there is one, and gets in when it has left", async () => {
    await enter();
    const first = page;
    page = await open(browser, rig.url, { headset: true, ...SMALL });
    const mark = rig.mark;
    await page.click("#enter");
    await page.waitForFunction(() => window.quest.device.activeSession);
    await first.context().close();
    await rig.until("the second operator", (line) => line.connected, mark);
  });

  test("leaving the session says goodbye and offers to enter again", async () => {
    const mark = await enter();
    await page.evaluate(() => window.quest.device.activeSession.end());
    await rig.message("goodbye", (message) => message.type === "bye", mark);
    await rig.until("that the operator is gone", (line) => "gone" in line, mark);
    await page.click("#enter");
    await pose("a pose of the new session", () => true);
  });
});
