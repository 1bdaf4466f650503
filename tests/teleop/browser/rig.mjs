// Starts the rig without a robot (rig.py) as a process.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const HERE = import.meta.dirname;
// A shared machine may take this long to import numpy.
const TIMEOUT_MS = Number(process.env.GR1_BROWSER_TIMEOUT_MS ?? 60000);

export class Rig {
  /** past: number of episodes that exist at the start; tasks: [[instruction, episodes]], or null. */
  static async start({ past = 0, tasks = null } = {}) {
    const rig = new Rig(past, tasks);
    const { url, view_url } = await rig.until("its address", (line) => line.url);
    Object.assign(rig, { url, view_url });
    return rig;
  }

  constructor(past, tasks) {
    this.lines = [];
    this.waiting = new Set();
    this.home = mkdtempSync(join(tmpdir(), "gr1-teleop-"));
    const env = { ...process.env, XDG_DATA_HOME: this.home, XDG_CACHE_HOME: this.home };
    this.process = spawn(process.env.PYTHON ?? "python3", [join(HERE, "rig.py"), `${past}`, tasks ? JSON.stringify(tasks) : ""], { env, stdio: ["pipe", "pipe", "inherit"] });
    this.ended = new Promise((resolve) => this.process.on("close", resolve));
    this.ended.then((code) => this.#fail(`the rig has ended with ${code}: its error is above`));
    createInterface({ input: this.process.stdout }).on("line", (line) => this.#line(JSON.parse(line)));
  }

  /** The messages of the operator's page since the mark, in order. */
  messages(mark = 0) {
    return this.lines.slice(mark).flatMap((line) => (line.received ? [line.received] : []));
  }

  /** A position in the output, for `messages` and `until`. */
  get mark() {
    return this.lines.length;
  }

  order(what) {
    this.process.stdin.write(`${JSON.stringify(what)}\n`);
  }

  /** The first line since the mark for which `holds` is true, now or as soon as it arrives. */
  until(what, holds, mark = 0) {
    const found = this.lines.slice(mark).find(holds);
    if (found) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const waiter = { holds, resolve, reject };
      waiter.timer = setTimeout(() => {
        this.waiting.delete(waiter);
        reject(new Error(`the rig did not report ${what}; last: ${JSON.stringify(this.lines.slice(-3))}`));
      }, TIMEOUT_MS);
      this.waiting.add(waiter);
    });
  }

  /** The first message of the page since the mark for which `holds` is true. */
  async message(what, holds, mark = 0) {
    return (await this.until(what, (line) => line.received && holds(line.received), mark)).received;
  }

  async stop() {
    this.process.stdin.end();
    await this.ended;
    rmSync(this.home, { recursive: true, force: true });
  }

  #line(line) {
    this.lines.push(line);
    for (const waiter of this.waiting) {
      if (!waiter.holds(line)) continue;
      clearTimeout(waiter.timer);
      this.waiting.delete(waiter);
      waiter.resolve(line);
    }
  }

  #fail(why) {
    for (const waiter of this.waiting) {
      clearTimeout(waiter.timer);
      waiter.reject(new Error(why));
    }
    this.waiting.clear();
  }
}
