// The workstation's page against the real server: what it shows, what it tells the recorder, and control from the desk.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { launch, open } from "./browser.mjs";
import { Rig } from "./rig.mjs";

let rig, browser, page;

before(async () => {
  [rig, browser] = await Promise.all([Rig.start({ past: 3 }), launch()]);
});
after(async () => {
  await browser?.close();
  await rig?.stop();
});
beforeEach(async () => {
  page = await open(browser, rig.url.replace("/?", "/desk?"));
  await shown("#server", "Connected");
});
afterEach(async () => {
  const mark = rig.mark;
  const drives = (await page.textContent("#take")) === "Leave control";
  await page.context().close();
  if (drives) await rig.until("that the desk is gone", (line) => "gone" in line, mark);
  assert.deepEqual(page.problems, []);
});

const shown = (selector, words) =>
  page.waitForFunction(([where, what]) => document.querySelector(where)?.textContent.includes(what), [selector, words]);
const hasImage = (selector) => page.waitForFunction((where) => document.querySelector(where)?.naturalWidth > 0, selector);
const velocity = (what, holds, mark = rig.mark) => rig.message(what, (message) => message.type === "velocity" && holds(message), mark);

describe("the rig", () => {
  test("both cameras are shown, again and again, and a camera that has gone is named as that", async () => {
    for (const role of ["Static", "Wrist"]) {
      const image = `img[alt="${role} camera"]`;
      await hasImage(image);
      const address = await page.getAttribute(image, "src");
      await page.waitForFunction(([where, old]) => document.querySelector(where).getAttribute("src") !== old, [image, address]);
    }
    rig.order({ images: false });
    await shown(".camera-note:not([hidden])", "No image");
    rig.order({ images: true });
    await page.waitForFunction(() => !document.querySelector(".camera-note:not([hidden])"));
  });

  test("the gate's state is told in words, with its reason", async () => {
    rig.order({ status: { gate: { state: "stopped", reason: "force", source: "" } } });
    await shown("#gate", "Arm stopped: contact force too high");
    rig.order({ status: {} });
    await shown("#gate", "Arm holds still");
  });

  test("a topic that falls silent in mid-episode is a warning in red", async () => {
    rig.order({ instruction: "open the drawer" });
    await page.click("#start");
    await shown("#recording", "Recording");
    rig.order({ status: { topics: [{ topic: "arm/pose", hz: 0, expected_hz: 100, age_s: 3, problem: "silent for 3 s" }] } });
    await shown("#warnings", "arm/pose: silent for 3 s");
    assert.equal(await page.locator("#topics .bad").count(), 1);
    rig.order({ status: {} });
    await page.waitForFunction(() => document.querySelector("#warnings").hidden);
    await page.click("#failure");
    await shown("#message", "Saved as failure");
  });
});

describe("episodes", () => {
  test("the typed instruction reaches the stack, the episode gets it, and the list shows it with its image", async () => {
    await page.fill("#instruction", "put the eggplant on the plate");
    await page.press("#instruction", "Enter");
    await rig.until("the instruction", (line) => line.instruction === "put the eggplant on the plate");
    await page.click("#start");
    await shown("#recording", "Recording");
    await page.click("#success");
    await shown("#episodes li:first-child", "success");
    await shown("#episodes li:first-child", "put the eggplant on the plate");
    await hasImage("#episodes li:first-child img");
  });

  test("the last one can be given another instruction", async () => {
    await page.fill("#instruction", "put the aubergine on the plate");
    await page.click("#relabel");
    await shown("#episodes li:first-child", "put the aubergine on the plate");
    await shown("#counts", "put the aubergine on the plate");
  });

  test("discarding is asked twice", async () => {
    rig.order({ instruction: "open the drawer" });
    await page.click("#start");
    await shown("#recording", "Recording");
    // Both presses in one go: the question stands for three seconds, and a busy machine may take longer between two orders.
    const asked = await page.evaluate(() => {
      const button = document.querySelector("#discard");
      button.click();
      const question = button.textContent;
      button.click();
      return question;
    });
    assert.match(asked, /Again/);
    await shown("#message", "Discarded");
    await shown("#episodes li:first-child", "discarded");
  });

  test("a refusal is shown in the recorder's words", async () => {
    rig.order({ instruction: "" });
    await page.fill("#instruction", "");
    await page.click("#relabel");
    await shown("#message", "Type the instruction");
    await page.click("#start");
    await shown("#message", "no instruction");
  });
});

describe("control from the desk", () => {
  beforeEach(async () => {
    const mark = rig.mark;
    await page.click("#take");
    await rig.until("the desk", (line) => line.connected === "desk", mark);
  });

  test("leaving it says goodbye", async () => {
    const mark = rig.mark;
    await page.click("#take");
    await rig.message("goodbye", (message) => message.type === "bye", mark);
  });

  test("keys are velocities in the arm's frame, held only with Shift, as fast as chosen", async () => {
    await page.fill("#speed", "0.5");
    await page.keyboard.down("w");
    const loose = await velocity("forward", (message) => message.linear[0] > 0);
    assert.equal(loose.held, false);
    await page.keyboard.down("Shift");
    await page.keyboard.down("q");
    await page.keyboard.down("l");
    const { linear, angular } = await velocity("all keys", (message) => message.held && message.linear[2] < 0 && message.angular[2] < 0);
    assert.deepEqual([linear, angular], [[0.5, 0, -0.5], [0, 0, -0.5]]);
    await page.keyboard.up("Shift");
    await velocity("the release", (message) => !message.held);
    for (const key of ["w", "q", "l"]) await page.keyboard.up(key);
    await velocity("rest", (message) => message.linear.every((value) => value === 0));
  });

  test("Space closes the gripper, and again opens it", async () => {
    await page.keyboard.press("Space");
    await velocity("closed", (message) => message.gripper === 1);
    await page.keyboard.press("Space");
    await velocity("open", (message) => message.gripper === 0);
  });

  test("what is typed into the instruction moves nothing", async () => {
    await page.focus("#instruction");
    await page.keyboard.down("Shift");
    await page.keyboard.type("WASD ");
    const mark = rig.mark;
    await velocity("some more", () => rig.messages(mark).length > 5, mark);
    assert.ok(rig.messages(mark).every((message) => message.type !== "velocity" || (!message.held && message.gripper === 0)));
    await page.keyboard.up("Shift");
  });

  test("keys that were down when the window lost the focus are down no more", async () => {
    await page.keyboard.down("Shift");
    await velocity("held", (message) => message.held);
    await page.evaluate(() => window.dispatchEvent(new Event("blur")));
    await velocity("released", (message) => !message.held);
    await page.keyboard.up("Shift");
  });

  test("a context menu lets all keys go, for their release may go to the menu", async () => {
    await page.keyboard.down("Shift");
    await velocity("held", (message) => message.held);
    await page.evaluate(() => document.body.dispatchEvent(new MouseEvent("contextmenu", { bubbles: true })));
    await velocity("released", (message) => !message.held);
    await page.keyboard.up("Shift");
  });

  for (const shortcut of ["Control", "Meta", "Alt"]) {
    test(`${shortcut} lets all keys go: a release during a shortcut may never be told`, async () => {
      await page.keyboard.down("Shift");
      await page.keyboard.down("w");
      await velocity("held", (message) => message.held && message.linear[0] > 0);
      await page.keyboard.down(shortcut);
      await velocity("released", (message) => !message.held && message.linear[0] === 0);
      for (const key of [shortcut, "w", "Shift"]) await page.keyboard.up(key);
    });
  }

  for (const kind of ["keydown", "keyup"]) {
    test(`a ${kind} without Shift ends the hold, though the release of Shift itself got lost`, async () => {
      await page.keyboard.down("Shift");
      await velocity("held", (message) => message.held);
      await page.evaluate((name) => window.dispatchEvent(new KeyboardEvent(name, { code: "KeyX", shiftKey: false })), kind);
      await velocity("released", (message) => !message.held);
      await page.keyboard.up("Shift");
    });
  }

  test("a SpaceMouse moves the arm as its cap is moved, while its left button is held", async () => {
    await plug({ id: "3Dconnexion SpaceMouse Compact (Vendor: 256f Product: c635)", mapping: "", axes: [0, -1, -0.55, 0, 0, 0.05], buttons: [1, 0] });
    const { linear, angular } = await velocity("the cap", (message) => message.held);
    const [forward, left, up] = linear.map((value) => Math.round(value * 100) / 100);
    assert.deepEqual([forward, left, up], [0.4, 0, 0.2]);
    assert.ok(angular.every((value) => value === 0));
  });

  test("a SpaceMouse is known by its maker's numbers too, as either browser tells them", async () => {
    for (const id of ["Wireless (Vendor: 256f Product: c62e)", "Receiver (Vendor: 046d Product: c62b)", "256f-c62e-Wireless", "046d-c626-Receiver"]) {
      const mark = rig.mark;
      await plug({ id, mapping: "", axes: [0, -1, 0, 0, 0, 0], buttons: [1, 0] });
      await velocity(`the cap of ${id}`, (message) => message.held && message.linear[0] > 0, mark);
      const unplugged = rig.mark;
      await page.evaluate(() => (navigator.getGamepads = () => []));
      await velocity("rest", (message) => !message.held, unplugged);
    }
  });

  test("any other device without the standard mapping moves nothing, and is named as not used", async () => {
    const axes = [1, 1, 1, 1, 1, 1];
    const others = [
      { id: "Flight Stick (Vendor: 044f Product: 256f)", axes },
      { id: "Racing Wheel (Vendor: 046d Product: c29b)", axes },
      { id: "SpaceMouse of four axes (Vendor: 256f Product: c62e)", axes: axes.slice(2) },
    ];
    for (const other of others) {
      await plug({ ...other, mapping: "", buttons: [1, 1] });
      await shown("#pad", `${other.id.replace(/ \(.*/, "")} is not used`);
      const mark = rig.mark;
      await velocity("some more", () => rig.messages(mark).length > 5, mark);
      const told = rig.messages(mark).filter((message) => message.type === "velocity");
      assert.ok(told.every(({ held, linear, angular, gripper }) => !held && [...linear, ...angular, gripper].every((value) => value === 0)));
    }
  });

  test("a gamepad drives with its sticks and closes the gripper as far as its trigger is pulled", async () => {
    const buttons = Array(17).fill(0);
    buttons[5] = 1;
    buttons[7] = 0.6;
    await plug({ mapping: "standard", axes: [-1, 0, 0, 0], buttons });
    const { linear, gripper } = await velocity("the stick", (message) => message.held);
    assert.deepEqual(linear.map((value) => value + 0), [0, 0.4, 0]);
    assert.equal(gripper, 0.6);
  });

  test("a second desk is told that there is an operator, and does not wait to take over", async () => {
    const first = page;
    page = await open(browser, rig.url.replace("/?", "/desk?"));
    await page.click("#take");
    await shown("#desk-state", "operator");
    assert.equal(await page.textContent("#take"), "Take control");
    await page.context().close();
    page = first;
  });

  const plug = (pad) =>
    page.evaluate(({ id = "Test device (Vendor: 1)", mapping, axes, buttons }) => {
      const plugged = { id, connected: true, mapping, axes, buttons: buttons.map((value) => ({ value, pressed: value > 0.5 })) };
      navigator.getGamepads = () => [plugged];
    }, pad);
});
