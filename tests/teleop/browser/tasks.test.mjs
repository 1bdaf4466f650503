// The task list on desk, phone and headset; the question before a save that conversion would cut; viewers; a live policy run; one
// statement about the arm at a time.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { launch, open } from "./browser.mjs";
import { Rig } from "./rig.mjs";

const TASKS = [["open the drawer", 2], ["close the drawer", 1], ["put the eggplant on the plate", 0]];
const LOSS = "conversion would keep 1 of 100 steps: camera/static came at 7 Hz or with gaps";

let rig, browser, page;

before(async () => {
  [rig, browser] = await Promise.all([Rig.start({ tasks: TASKS }), launch()]);
});
after(async () => {
  await browser?.close();
  await rig?.stop();
});
afterEach(async () => {
  const mark = rig.mark;
  const entered = await page.evaluate(() => Boolean(window.quest?.device?.activeSession));
  await page.context().close();
  if (entered) await rig.until("that the operator is gone", (line) => "gone" in line, mark);
  assert.deepEqual(page.problems, []);
});

const shown = (selector, words) =>
  page.waitForFunction(([where, what]) => document.querySelector(where)?.textContent.includes(what), [selector, words]);

async function desk(url = rig.url.replace("/?", "/desk?"), size = {}) {
  page = await open(browser, url, size);
  await shown("#server", "Connected");
}

async function episode(end = "#success") {
  await page.click("#start:not([disabled])");
  await shown("#recording", "Recording");
  await page.click(end);
}

describe("the task list", () => {
  test("shows the progress, goes on by itself when an instruction is complete, and a click chooses", async () => {
    await desk();
    await shown("#tasks .now", "open the drawer");
    await shown("#tasks .now", "0 of 2");
    for (const done of ["1 of 2", "2 of 2"]) {
      await episode();
      await shown("#tasks li:first-child", done);
    }
    await shown("#tasks .now", "close the drawer");
    await page.click("#tasks li:nth-child(3) button");
    await shown("#tasks .now", "put the eggplant on the plate");
    await rig.until("the instruction", (line) => line.instruction === "put the eggplant on the plate");
  });

  test("in the headset the stick chooses, between episodes only, and the panel shows the place in the list", async () => {
    page = await open(browser, rig.url, { headset: true, width: 640, height: 400 });
    await page.evaluate(spyOnCanvas);
    await page.click("#enter");
    await page.waitForFunction(() => window.written.some((text) => text.startsWith("Task ")));
    const place = () => page.evaluate(() => window.written.findLast((text) => text.startsWith("Task ")));
    const push = (value) => page.evaluate((x) => window.quest.device.controllers.right.updateAxes("thumbstick", x, 0), value);
    const first = await place();
    const mark = rig.mark;
    await push(1);
    const { instruction } = await rig.until("the next instruction", (line) => line.instruction, mark);
    await page.waitForFunction((old) => window.written.findLast((text) => text.startsWith("Task ")) !== old, first);
    await push(0);
    await page.evaluate(() => window.quest.frames(3));
    const back = rig.mark;
    await push(-1);
    const previous = await rig.until("the previous one", (line) => line.instruction, back);
    assert.notEqual(previous.instruction, instruction);
    await push(0);
  });

  test("a phone has buttons for it", async () => {
    const agent = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36";
    page = await open(browser, rig.url, { headset: true, agent, width: 640, height: 400 });
    await page.click("#enter");
    await shown("#phone-task", "of 3");
    const mark = rig.mark;
    await page.evaluate(() => document.getElementById("phone-next").click());
    await rig.until("the next instruction", (line) => line.instruction, mark);
  });
});

describe("what would be thrown away", () => {
  test("is said while it is recorded, and a success is asked for again with the figure", async () => {
    await desk();
    rig.order({ loses: LOSS });
    await page.click("#start:not([disabled])");
    await shown("#warnings", LOSS);
    await page.click("#success");
    await shown("#success", "Save anyway");
    await shown("#message", LOSS);
    await page.click("#success");
    await shown("#message", "Saved as success");
    await shown("#success", "Success");
    rig.order({ loses: "" });
  });

  test("a failure is saved without a question", async () => {
    await desk();
    rig.order({ loses: LOSS });
    await episode("#failure");
    await shown("#message", "Saved as failure");
    rig.order({ loses: "" });
  });
});

describe("a policy run", () => {
  const policy = { message: "", level: 0, rate_hz: 10, inference_p50_ms: 41, score_static: 0.42, score_wrist: 1.31, limit: 1.0 };

  test("shows predicted frames and scores to viewers, who can change nothing", async () => {
    rig.order({ status: { policy, gate: { state: "moving", reason: "", source: "policy" } } });
    await desk(rig.view_url);
    await page.waitForFunction(() => document.querySelector('img[alt="Predicted, static"]')?.naturalWidth > 0);
    await shown("#policy-figures", "0.42 of 1.0");
    assert.equal(await page.locator("#policy-figures .bad").textContent(), "Score, wrist1.31 of 1.0");
    await shown("#gate", "commanded by the policy");
    for (const gone of ["#start", "#instruct", "#take"]) assert.equal(await page.isVisible(gone), false);
    assert.equal(await page.isVisible("#viewer"), true);
    const mark = rig.mark;
    const refused = await page.evaluate(async () => {
      const answers = [];
      const watch = new WebSocket(`wss://${location.host}/ws/watch`);
      await new Promise((opened) => (watch.onopen = opened));
      watch.send(JSON.stringify({ type: "instruction", text: "do something else" }));
      await new Promise((answered) => {
        watch.onmessage = (event) => {
          const message = JSON.parse(event.data);
          if (message.type !== "failed") return;
          answers.push(message.text);
          answered();
        };
      });
      const operator = new WebSocket(`wss://${location.host}/ws/operator`);
      answers.push(await new Promise((closed) => (operator.onclose = (event) => closed(event.code))));
      return answers;
    });
    assert.match(refused[0], /watching only/);
    assert.equal(refused[1], 4403);
    assert.ok(!rig.lines.slice(mark).some((line) => line.instruction || line.connected));
    rig.order({ status: {} });
    await page.waitForFunction(() => document.querySelector("#policy").hidden);
  });

  test("several viewers see the same at once", async () => {
    rig.order({ status: { policy } });
    await desk(rig.view_url);
    const others = await Promise.all([1, 2].map(() => open(browser, rig.view_url)));
    for (const viewer of [page, ...others]) {
      await viewer.waitForFunction(() => document.querySelector("#policy-figures")?.textContent.includes("0.42 of 1.0"));
      await viewer.waitForFunction(() => document.querySelector('img[alt="Predicted, wrist"]')?.naturalWidth > 0);
    }
    await Promise.all(others.map((viewer) => viewer.context().close()));
    rig.order({ status: {} });
  });
});

describe("one statement about the arm", () => {
  test("the clutch never says that the arm follows while the gate says that it does not move", async () => {
    await desk();
    const said = await page.evaluate(async () => {
      const { clutchLabel, gateLabel } = await import("/web/labels.js");
      const gates = [{}, { state: "holding", reason: "no_command" }, { state: "holding", reason: "expired" }, { state: "stopped", reason: "force" }];
      gates.push({ state: "moving", source: "policy" }, { state: "moving", source: "teleop" }, { state: "moving", source: "teleop", reason: "speed" });
      return gates.map((gate) => [clutchLabel({ clutch: "engaged", gate }, "headset").text, gateLabel(gate).text]);
    });
    const follows = said.filter(([clutch]) => clutch === "The arm follows you").map(([, gate]) => gate);
    assert.deepEqual(follows, ["Arm moves, commanded by teleoperation", "Arm moves: at the speed limit"]);
    assert.ok(said.every(([clutch, gate]) => !(/follows/.test(clutch) && /still|stopped|the policy/.test(gate))));
  });
});

/** Keeps every text that the page writes on a canvas, in `written`. */
function spyOnCanvas() {
  window.written = [];
  const fill = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    window.written.push(text);
    return fill.call(this, text, ...rest);
  };
}
