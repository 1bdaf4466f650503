// The operator's page in a real room: the network test, lost networks, a USB cable, the hand that drives.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { launch, open } from "./browser.mjs";
import { Network, Rig } from "./rig.mjs";

const SMALL = { width: 640, height: 400 };
// Seconds without network; all that the page promises:  GR1_LOSSES=2,10,60
const LOSSES = (process.env.GR1_LOSSES ?? "2,10").split(",").map(Number);

let rig, browser, network, page;

before(async () => {
  [rig, browser] = await Promise.all([Rig.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await rig?.stop();
});
beforeEach(async () => {
  network = await Network.open(rig);
});
afterEach(async () => {
  const mark = rig.mark;
  network.restore();
  const entered = await page.evaluate(() => Boolean(window.quest?.device.activeSession));
  await page.context().close();
  if (entered) await rig.until("that the operator is gone", (line) => "gone" in line, mark);
  network.close();
  assert.deepEqual(page.problems, []);
});

async function enter(options = {}) {
  const mark = rig.mark;
  page = await open(browser, network.url, { headset: true, ...SMALL, ...options });
  if (options.layout) await page.selectOption("#hand", options.layout);
  await page.evaluate(() => (window.loaded = true));
  await page.click("#enter");
  await pose("a first pose", () => true, mark);
}

const pose = (what, holds, mark = rig.mark) => rig.message(what, (message) => message.type === "pose" && holds(message), mark);
const clutch = (state, mark, hand) => rig.until(`the clutch ${state}`, (line) => line.clutch === state && (hand ?? line.hand) === line.hand, mark);
const quest = (call, ...given) => page.evaluate(([name, args]) => window.quest[name](...args), [call, given]);
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const shown = (selector, pattern) =>
  page.waitForFunction(([where, what]) => new RegExp(what).test(document.querySelector(where)?.textContent), [selector, pattern.source]);

/** Grips anew until the clutch has engaged: a pose that a busy computer delays opens it again. */
async function grip(side = "right") {
  const mark = rig.mark;
  for (let tries = 0; tries < 10; tries += 1) {
    await quest("press", side, "squeeze", 0);
    await quest("frames", 5);
    await quest("press", side, "squeeze", 1);
    await quest("frames", 10);
    if (rig.lines.slice(mark).some((line) => line.clutch === "engaged")) break;
  }
  return clutch("engaged", mark, side);
}

/** Moves the hand and returns how many commands moved the arm since the mark. */
async function wave(side, mark) {
  for (let step = 1; step <= 20; step += 1) {
    await quest("move", side, 0.2 + 0.004 * step, 1.3, -0.35);
    await quest("frames", 4);
  }
  return rig.lines.slice(mark).filter((line) => line.moved).length;
}

describe("the network test", () => {
  test("measures rate, jitter and loss before anybody grips", async () => {
    page = await open(browser, network.url, { headset: true, ...SMALL });
    await shown("#network", /\d+ samples\/s, round trip \d+ ms, jitter \d+ ms, longest gap \d+ ms, lost \d+ %/);
    assert.equal(rig.lines.some((line) => line.connected), false);
  });

  test("says what to do on a network with gaps, and can be repeated", async () => {
    // Every half second the network stands still for 300 ms.
    network.delay = () => Math.max(0, 300 - (performance.now() % 500));
    page = await open(browser, network.url, { headset: true, ...SMALL });
    await shown("#network", /jitter \d{3,} ms/);
    await shown("#network-advice", /clutch will open by itself.*5 or 6 GHz.*USB/);
    network.delay = () => 0;
    await page.click("#network-again");
    await shown("#network", /Testing/);
    await shown("#network", /samples\/s/);
  });

  test("that gets no answer says so", async () => {
    page = await open(browser, network.url, { headset: true, ...SMALL });
    await shown("#network", /Testing/);
    network.cut();
    await shown("#server", /Connection lost/);
    await shown("#network", /no answer/);
    network.restore();
    // Tested anew as soon as the connection is back.
    await shown("#network", /samples\/s/);
  });
});

describe("a lost network", () => {
  for (const seconds of LOSSES) {
    test(`of ${seconds} s: the page comes back without a reload, and moves nothing before a new grip`, async () => {
      await enter();
      const engaged = rig.mark;
      await grip();
      assert.ok((await wave("right", engaged)) > 0);
      const lost = rig.mark;
      network.cut();
      await clutch("waiting", lost);
      await wait(seconds);
      const back = rig.mark;
      const began = performance.now();
      network.restore();
      // The first pose that was taken after the return, on the old connection or on a new one.
      const at = await page.evaluate(() => performance.now());
      await pose("a pose after the loss", ({ t }) => t > at, back);
      console.log(`# ${seconds} s: first pose ${Math.round(performance.now() - began)} ms after the network was back`);
      // The hand has held the grip all the time, and still moves.
      assert.equal(await wave("right", back), 0);
      assert.equal(rig.lines.slice(back).some((line) => line.clutch === "engaged"), false);
      const again = rig.mark;
      await grip();
      assert.ok((await wave("right", again)) > 0);
      assert.equal(await page.evaluate(() => window.loaded && Boolean(window.quest.device.activeSession)), true);
    });
  }
});

describe("the hand that drives", () => {
  test("is named to the page and to the desk, and the other takes over when it grips", async () => {
    await enter();
    const desk = await open(browser, rig.url.replace("/?", "/desk?"), SMALL);
    for (const side of ["right", "left"]) {
      assert.equal((await grip(side)).hand, side);
      await desk.waitForFunction((hand) => document.querySelector("#operator").textContent.includes(`Quest 3, ${hand} hand,`), side);
      await quest("press", side, "squeeze", 0);
    }
    await desk.context().close();
  });

  test("is only the left one in the left-handed layout, which the device keeps", async () => {
    await enter({ layout: "left" });
    await shown("#controls", /[^ ]Xstart an episode/);
    const mark = rig.mark;
    await quest("press", "right", "squeeze");
    await quest("frames", 10);
    assert.equal(rig.messages(mark).some((message) => message.hand === "right"), false);
    assert.equal((await grip("left")).hand, "left");
    await page.evaluate(() => window.quest.device.activeSession.end());
    await page.reload();
    assert.equal(await page.inputValue("#hand"), "left");
  });

  test("opens the clutch when controllers are put down and hands are seen, and drives again after it was open", async () => {
    await enter();
    await grip();
    const mark = rig.mark;
    await page.evaluate(() => {
      window.quest.device.hands.right.poseId = "point";
      window.quest.device.primaryInputMode = "hand";
    });
    await clutch("waiting", mark);
    const fist = rig.mark;
    await page.evaluate(() => (window.quest.device.hands.right.poseId = "default"));
    await pose("an open hand", (message) => message.squeeze < 0.4, fist);
    await page.evaluate(() => (window.quest.device.hands.right.poseId = "point"));
    await clutch("engaged", fist, "right");
  });
});

describe("a phone", () => {
  const agent = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36";

  test("for a left hand has its buttons at the left", async () => {
    page = await open(browser, network.url, { headset: true, agent, width: 400, height: 800 });
    const left = async () => {
      await page.evaluate(() => (document.getElementById("overlay").hidden = false));
      return page.evaluate(() => document.querySelector("#overlay .stop-button").getBoundingClientRect().left);
    };
    assert.ok((await left()) > 200);
    await page.selectOption("#hand", "left");
    assert.ok((await left()) < 200);
  });
});
