// Headless Chromium, with or without an emulated Quest 3.

import { join } from "node:path";
import { chromium } from "playwright-core";

const IWER = join(import.meta.dirname, "node_modules/iwer/build/iwer.min.js");
const TIMEOUT_MS = Number(process.env.GR1_BROWSER_TIMEOUT_MS ?? 60000);

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage", "--ignore-certificate-errors"],
    timeout: TIMEOUT_MS,
  });

/**
 * A page with its own context (cookies). headset: an emulated Quest 3, `quest` in the page; mode: the session mode that it supports; agent: the
 * browser's user agent, if not a Quest's.
 * `page.problems` collects errors and requests blocked by the security policy.
 */
export async function open(browser, url, { headset = false, mode = "immersive-ar", agent = "", width = 1280, height = 720 } = {}) {
  // The certificate is the installation's own, so no authority has signed it.
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width, height } });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(`${error}`));
  page.on("console", (message) => message.type() === "error" && !expected(message) && page.problems.push(message.text()));
  if (headset) {
    await page.addInitScript({ path: IWER });
    await page.addInitScript(wear, { mode, agent });
  }
  await page.goto(url);
  return page;
}

/** Chromium reports every failed image and socket; some tests cause them on purpose. */
const expected = (message) => /Failed to load resource|WebSocket connection|ERR_CONNECTION/.test(message.text());

/** Runs in the page before anything else: installs the emulated headset. */
function wear({ mode, agent }) {
  const quest3 = IWER.metaQuest3;
  const device = new IWER.XRDevice({ ...quest3, supportedSessionModes: ["inline", mode], userAgent: agent || quest3.userAgent });
  device.installRuntime({ forceInstall: true });
  device.position.set(0, 1.6, 0);
  const pulses = [];
  for (const side of ["right", "left"]) {
    const controller = device.controllers[side];
    controller.position.set(side === "right" ? 0.2 : -0.2, 1.3, -0.35);
    controller.inputSource.gamepad.hapticActuators[0].pulse = async (strength, ms) => pulses.push({ side, strength, ms });
  }
  const press = (side, button, value = 1) => device.controllers[side].updateButtonValue(button, value);
  const frames = async (count) => {
    for (let frame = 0; frame < count; frame += 1) await new Promise((next) => device.activeSession.requestAnimationFrame(next));
  };
  window.quest = {
    device,
    pulses,
    press,
    frames,
    move: (side, x, y, z) => device.controllers[side].position.set(x, y, z),
    tap: async (side, button) => {
      press(side, button);
      await frames(3);
      press(side, button, 0);
      await frames(3);
    },
    lose: (side, lost = true) => (device.controllers[side].connected = !lost),
  };
}
