// The player of recorded episodes against the real server: scrub, trim, exclude, relabel, restore; the list's outliers.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { launch, open } from "./browser.mjs";
import { Rig } from "./rig.mjs";

let rig, browser, page;

before(async () => {
  [rig, browser] = await Promise.all([Rig.start({ past: 7 }), launch()]);
});
after(async () => {
  await browser?.close();
  await rig?.stop();
});
beforeEach(async () => {
  page = await open(browser, rig.url.replace("/?", "/desk?"));
  await shown("#server", "Connected");
  await page.waitForSelector("#episodes li .thumb img");
});
afterEach(async () => {
  await page.context().close();
  assert.deepEqual(page.problems, []);
});

const shown = (selector, words) =>
  page.waitForFunction(([where, what]) => document.querySelector(where)?.textContent.includes(what), [selector, words]);
const hasImage = (selector) => page.waitForFunction((where) => document.querySelector(where)?.naturalWidth > 0, selector);
const row = (number) => `#episodes li:nth-child(${number})`;

async function play(number) {
  await page.click(`${row(number)} .thumb`);
  await page.waitForSelector("#player[open]");
  await shown("#player-findings", "Conversion");
}

async function seek(seconds) {
  await page.fill("#player-slider", `${seconds}`);
  await shown("#player-time", seconds.toFixed(2));
}

async function restore() {
  await page.evaluate(() => {
    document.querySelector("#player-restore").click();
    document.querySelector("#player-restore").click();
  });
  await shown("#player-message", "no marks");
}

describe("the player", () => {
  test("a click on the thumbnail shows both cameras, the slider moves both, and the curves are drawn", async () => {
    await play(1);
    for (const role of ["static", "wrist"]) await hasImage(`#player-${role}`);
    const before = await page.getAttribute("#player-wrist", "src");
    await seek(5);
    for (const role of ["static", "wrist"]) await page.waitForFunction((id) => document.querySelector(id).src.includes("t=5.00"), `#player-${role}`);
    assert.notEqual(await page.getAttribute("#player-wrist", "src"), before);
    const inked = await page.evaluate(() => {
      const canvas = document.querySelector("#player-curves");
      return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0);
    });
    assert.ok(inked);
  });

  test("it plays by itself and stops at the end of the kept part", async () => {
    await play(1);
    await seek(2);
    await page.click("#player-end-here");
    await shown("#player-message", "0.00 s .. 2.00 s");
    await seek(1.2);
    await page.click("#player-play");
    await shown("#player-play", "Play");
    await page.waitForFunction(() => Number(document.querySelector("#player-slider").value) >= 2);
    await restore();
  });

  test("trimming marks both ends and says what conversion keeps; restoring takes it back", async () => {
    await play(2);
    const all = await page.textContent("#player-findings");
    await seek(3);
    await page.click("#player-start-here");
    await shown("#player-message", "3.00 s .. the end");
    await seek(6);
    await page.click("#player-end-here");
    await shown("#player-message", "3.00 s .. 6.00 s");
    await shown("#player-findings", "keeps 30 of");
    await shown(`${row(2)} .marks`, "trimmed");
    await restore();
    await page.waitForFunction((text) => document.querySelector("#player-findings").textContent === text, all);
  });

  test("an end before the start is refused in words, and nothing changes", async () => {
    await play(2);
    await seek(6);
    await page.click("#player-start-here");
    await shown("#player-message", "6.00 s .. the end");
    await seek(1);
    await page.click("#player-end-here");
    await shown("#player-message", "is empty");
    await restore();
  });

  test("excluding needs no recorder, gives its reason in the list and leaves the count; restoring brings both back", async () => {
    const count = () => page.textContent("#counts");
    const before = await count();
    await play(1);
    await page.fill("#player-why", "the cup fell over");
    await page.click("#player-exclude");
    await shown("#player-findings", "Excluded: the cup fell over");
    await shown(`${row(1)} .marks`, "excluded: the cup fell over");
    await page.waitForFunction((text) => document.querySelector("#counts").textContent !== text, before);
    await restore();
    await page.waitForFunction((text) => document.querySelector("#counts").textContent === text, before);
  });

  test("relabelling changes any episode, the recorded words stay known and come back", async () => {
    await play(3);
    const title = await page.textContent("#player-title");
    await page.fill("#player-instruction", "stack the red cup on the blue cup");
    await page.selectOption("#player-outcome", "failure");
    await page.click("#player-labels button");
    await shown("#player-title", "stack the red cup on the blue cup");
    await shown("#player-findings", "was “success” when recorded");
    await shown(row(3), "stack the red cup on the blue cup");
    await restore();
    await shown("#player-title", title);
  });

  test("next and previous follow the list, and the keys of the player move no arm", async () => {
    const mark = rig.mark;
    await page.click("#take");
    await rig.until("the desk", (line) => line.connected === "desk", mark);
    await play(1);
    await page.keyboard.down("Shift");
    await page.keyboard.press("w");
    await page.keyboard.up("Shift");
    const since = rig.mark;
    await rig.message("rest", (message) => message.type === "velocity", since);
    assert.ok(rig.messages(mark).every((message) => message.type !== "velocity" || !message.held));
    const first = await page.textContent("#player-facts");
    await page.click("#player-after");
    await page.waitForFunction((text) => document.querySelector("#player-facts").textContent !== text, first);
    await page.click("#player-before");
    await page.waitForFunction((text) => document.querySelector("#player-facts").textContent === text, first);
    await page.keyboard.press("Escape");
    await page.click("#take");
    await rig.until("that the desk is gone", (line) => "gone" in line, mark);
  });
});

describe("outliers", () => {
  test("the worst come first with their figures, and excluded ones are gone", async () => {
    await page.selectOption("#episodes-order", "worst");
    await shown("#episodes-note", "differ from the others");
    await shown(row(1), "idle for");
    await play(1);
    await shown("#player-findings", "idle for");
    await page.click("#player-exclude");
    await shown("#player-message", "excluded: idle for");
    await page.waitForFunction((where) => !document.querySelector(where).textContent.includes("idle for"), row(1));
    await restore();
  });
});
