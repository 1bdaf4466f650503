// The policy's call of the operator on the desk, and an evaluation on the rig: both are answered from the page.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { launch, open } from "./browser.mjs";
import { Rig } from "./rig.mjs";

let rig, browser, page;

before(async () => {
  [rig, browser] = await Promise.all([Rig.start({}), launch()]);
});
after(async () => {
  await browser?.close();
  await rig?.stop();
});
afterEach(async () => {
  rig.order({ status: {} });
  await page.context().close();
  assert.deepEqual(page.problems, []);
});

const shown = (selector, words) =>
  page.waitForFunction(([where, what]) => document.querySelector(where)?.textContent.includes(what), [selector, words]);

async function desk(url = rig.url.replace("/?", "/desk?"), size = {}) {
  page = await open(browser, url, size);
  await shown("#server", "Connected");
}

describe("the policy calls", () => {
  const call = { number: 1, state: "calling", reason: "static camera: the image differs from the prediction (score 2.1, limit 1.5)", timeout_s: 5 };
  const policy = { message: "calls the operator", level: 1, rate_hz: 10, score_static: 2.1, limit: 1.5, call };

  test("the desk says why, shows predicted beside real, and confirms", async () => {
    rig.order({ status: { policy, gate: { state: "moving", reason: "prediction", source: "policy" } } });
    await desk(undefined, { width: 1280, height: 720 });
    await shown("#policy-call", "The policy calls: static camera: the image differs");
    await page.waitForFunction(() => document.querySelector("#policy-call img")?.naturalWidth > 0);
    await shown("#gate", "at half speed, the policy calls");
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/call.png` });
    const mark = rig.mark;
    await page.click("#confirm-call");
    await rig.until("the confirmation", (line) => line.confirmed, mark);
    await shown("#policy-call", "goes on at full speed");
    rig.order({ status: { policy: { ...policy, call: undefined } } });
    await page.waitForFunction(() => document.querySelector("#policy-call").hidden);
  });

  test("a viewer is told, and answers nothing", async () => {
    rig.order({ status: { policy: { ...policy, call: { ...call, number: 2 } } } });
    await desk(rig.view_url);
    await shown("#policy-call", "The policy calls");
    const status = await page.evaluate(async () => (await fetch("/api/confirm", { method: "POST" })).status);
    assert.equal(status, 403);
    page.problems.length = 0; // the browser logs the refusal
  });
});

describe("an evaluation on the rig", () => {
  const state = { phase: "arrange", pair: 2, pairs: 20, trial: 2, task: "open_drawer", instruction: "open the drawer", overlay: true };

  test("the second layout lies under the first one's start scene; verdicts come from the desk", async () => {
    rig.order({ status: { evaluation: state } });
    await desk(undefined, { width: 1280, height: 720 });
    await shown("#evaluation", "Lay the table as in the overlay, then press Start");
    await shown("#evaluation", "Pair 2 of 20, trial 2 of 2: “open the drawer”");
    await page.waitForFunction(() => document.querySelector(".start-scene")?.naturalWidth > 0);
    assert.ok(await page.evaluate(() => Number(getComputedStyle(document.querySelector(".start-scene")).opacity) < 1));
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/evaluation.png` });
    let mark = rig.mark;
    await page.click("#evaluation button:has-text('Start')");
    await rig.until("the start", (line) => line.verdict === "start", mark);
    rig.order({ status: { evaluation: { ...state, phase: "running", overlay: false, seconds: 7 } } });
    await shown("#evaluation", "judge when it is over (7 s)");
    assert.equal(await page.isVisible(".start-scene"), false);
    mark = rig.mark;
    await page.selectOption("#evaluation select", "dropped");
    await page.click("#evaluation button:has-text('Failure')");
    await rig.until("the verdict", (line) => line.verdict === "failure:dropped", mark);
    await shown("#evaluation", "noted: failure:dropped");
    rig.order({ status: {} });
    await page.waitForFunction(() => document.querySelector("#evaluation").hidden);
  });
});
