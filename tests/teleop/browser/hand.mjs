// A hand in headless Chromium for scripts: pairs, enters VR with an emulated Quest 3, and executes orders from stdin.
//
//   node hand.mjs URL
//
// stdin, one JSON document a line: {"position": [3], "orientation": [4], "squeeze", "trigger"} of the right grip in local-floor (only the
// newest counts); {"tap": "a-button"}; {"relabel": text}, at the workstation's page; {"screenshot": path}.
// stdout: {"grip": {position, orientation}} when the hand is ready; {"done": ...} after each of the others.

import { createInterface } from "node:readline";

import { launch, open } from "./browser.mjs";

const emit = (document) => console.log(JSON.stringify(document));

const browser = await launch();
const page = await open(browser, process.argv[2], { headset: true, width: 320, height: 200 });
await page.click("#enter");
await page.waitForFunction(() => window.quest.device.activeSession);
emit({ grip: await page.evaluate(measure) });

let desk = null;
let newest = null;
let wake = () => {};
const orders = [];
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const order = JSON.parse(line);
  if (order.position) newest = order;
  else orders.push(order);
  wake();
});
let ended = false;
lines.on("close", () => {
  ended = true;
  wake();
});

while (!ended) {
  if (newest) {
    const held = newest;
    newest = null;
    await page.evaluate((values) => window.hold(values), held);
  } else if (orders.length > 0) {
    const order = orders.shift();
    await execute(order);
    emit({ done: order });
  } else {
    await new Promise((resolve) => (wake = resolve));
  }
}
if (page.problems.length > 0) emit({ problems: page.problems });
await browser.close();

async function execute(order) {
  if (order.tap) await page.evaluate((button) => window.quest.tap("right", button), order.tap);
  if (order.relabel) {
    if (!desk) {
      desk = await page.context().newPage();
      await desk.goto(new URL("/desk", page.url()).href);
    }
    await desk.fill("#instruction", order.relabel);
    await desk.click("#relabel:not([disabled])");
    await desk.waitForFunction(() => document.querySelector("#message").textContent.startsWith("Relabelled"));
  }
  if (order.screenshot) await page.screenshot({ path: order.screenshot });
}

/** Measures the grip pose and its offset from the controller pose, which the emulator sets. Then `hold` moves the grip. */
async function measure() {
  const { device } = window.quest;
  const { position, quaternion } = device.controllers.right;
  quaternion.set(0, 0, 0, 1);
  const session = device.activeSession;
  const space = await session.requestReferenceSpace("local-floor");
  const grip = await new Promise((resolve) => {
    const look = (_, frame) => {
      const source = [...session.inputSources].find((one) => one.handedness === "right");
      const pose = source && frame.getPose(source.gripSpace, space);
      if (pose) resolve(pose.transform);
      else session.requestAnimationFrame(look);
    };
    session.requestAnimationFrame(() => session.requestAnimationFrame(look));
  });
  const point = ({ x, y, z }) => [x, y, z];
  const turning = ({ x, y, z, w }) => [x, y, z, w];
  const held = point(position);
  const offset = { position: point(grip.position).map((item, axis) => item - held[axis]), turn: turning(grip.orientation) };
  const times = ([ax, ay, az, aw], [bx, by, bz, bw]) => [
    aw * bx + ax * bw + ay * bz - az * by,
    aw * by - ax * bz + ay * bw + az * bx,
    aw * bz + ax * by - ay * bx + az * bw,
    aw * bw - ax * bx - ay * by - az * bz,
  ];
  const inverse = ([x, y, z, w]) => [-x, -y, -z, w];
  const rotated = (q, v) => times(times(q, [...v, 0]), inverse(q)).slice(0, 3);
  window.hold = ({ position: at, orientation, squeeze, trigger }) => {
    const turn = times(orientation, inverse(offset.turn));
    const shift = rotated(turn, offset.position);
    quaternion.set(...turn);
    position.set(at[0] - shift[0], at[1] - shift[1], at[2] - shift[2]);
    window.quest.press("right", "squeeze", squeeze);
    window.quest.press("right", "trigger", trigger);
  };
  return { position: point(grip.position), orientation: turning(grip.orientation) };
}
