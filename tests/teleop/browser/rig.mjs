// Starts the rig without a robot (rig.py) as a process.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
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

/** A network between page and rig that can be cut: nothing gets through, and neither end is told. Also what `adb reverse` is to a page. */
export class Network {
  /** Forwards a free port of localhost to the rig's; `url` is the operator's page through it. */
  static async open(rig) {
    const network = new Network(rig);
    network.server.listen(0, "127.0.0.1");
    await once(network.server, "listening");
    const url = new URL(rig.url);
    url.hostname = "localhost";
    url.port = network.server.address().port;
    return Object.assign(network, { url: url.href });
  }

  constructor(rig) {
    this.port = new URL(rig.url).port;
    this.sockets = new Set();
    this.pumps = new Set();
    this.is_cut = false;
    /** Delay of the next bytes, ms. */
    this.delay = () => 0;
    this.server = createServer({ pauseOnConnect: true }, (near) => this.#forward(near));
  }

  cut() {
    this.is_cut = true;
  }

  /** What was on its way arrives now, late and in order, as TCP does. */
  restore() {
    this.is_cut = false;
    for (const pump of this.pumps) pump();
  }

  close() {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  #forward(near) {
    const far = connect(this.port, "127.0.0.1");
    for (const [from, to] of [[near, far], [far, near]]) {
      const queue = [];
      const pump = () => {
        while (!this.is_cut && queue.length > 0 && queue[0].due <= performance.now()) queue.shift().act();
        if (!this.is_cut && queue.length > 0) setTimeout(pump, queue[0].due - performance.now());
      };
      const pass = (act) => {
        queue.push({ due: performance.now() + this.delay(), act });
        pump();
      };
      this.pumps.add(pump);
      this.sockets.add(from);
      from.on("data", (bytes) => pass(() => to.write(bytes)));
      from.on("end", () => pass(() => to.end()));
      from.on("error", () => pass(() => to.destroy()));
      from.on("close", () => this.sockets.delete(from));
    }
    near.resume();
  }
}
