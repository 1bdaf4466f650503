// One websocket to the server. It reconnects after a loss and reports its status as text.

const BACK_OFF_MS = [250, 500, 1000, 2000];
// The server sends a state ten times a second. A network that is gone closes no socket: silence tells.
const SILENT_MS = 3000;
const CHECK_MS = 250;
const BUSY_AGAIN_MS = 3000;
// If more than this is waiting to be sent, the network is too slow. A pose that waits would arrive late and make the arm
// lurch, so it is dropped and the next one is tried.
const MAX_BUFFERED_BYTES = 8000;

const CLOSE_REASONS = {
  4400: "The server did not understand a message",
  4401: "This page is not paired: open the address that the terminal shows, or scan its QR code",
  4403: "This page may only watch",
  4409: "Another operator is in control",
  1009: "A message was too large",
};

// Tells the server that a new connection is this page's own: it replaces the lost one at once.
const session = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class Channel {
  /**
   * path: "/ws/operator" or "/ws/watch"; hello: the first message of every connection, or null;
   * onMessage(object); onStatus({phase, why}), phase: connecting | open | lost | busy | unpaired | forbidden | closed.
   */
  constructor(path, { hello = null, onMessage, onStatus }) {
    this.url = `${location.protocol === "http:" ? "ws:" : "wss:"}//${location.host}${path}`;
    this.hello = hello && { ...hello, session };
    this.onMessage = onMessage;
    this.onStatus = onStatus;
    this.socket = null;
    this.status = { phase: "closed", why: "" };
    this.failures = 0;
    this.dropped = 0;
    this.timer = 0;
    this.ping_timer = 0;
    this.silence_timer = 0;
    this.heard = 0;
    // A device that is back in its network need not wait for the next try.
    window.addEventListener("online", () => this.status.phase === "lost" && this.open());
  }

  open() {
    if (this.socket) return;
    clearTimeout(this.timer);
    this.#setStatus("connecting", "Connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.refusal = "";
    this.heard = performance.now();
    this.silence_timer = setInterval(() => this.#checkSilence(), CHECK_MS);
    socket.onopen = () => {
      if (this.hello) {
        socket.send(JSON.stringify(this.hello));
        this.#ping();
        this.ping_timer = setInterval(() => this.#ping(), 1000);
      }
      this.#setStatus("open", "");
    };
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (this.socket === socket) this.#onClose(event);
    };
  }

  /** Closes the connection; open() opens another one. */
  close() {
    clearTimeout(this.timer);
    this.#stopTimers();
    const socket = this.socket;
    this.socket = null;
    if (socket?.readyState === WebSocket.OPEN && this.hello) socket.send(JSON.stringify({ type: "bye" }));
    socket?.close(1000);
    this.#setStatus("closed", "");
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** Returns true if it was sent. `urgent` messages (episodes, recenter) are never dropped on a slow network. */
  send(message, { urgent = false } = {}) {
    if (!this.isOpen) return false;
    if (!urgent && this.socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.dropped += 1;
      return false;
    }
    this.socket.send(JSON.stringify(message));
    return true;
  }

  #ping() {
    this.send({ type: "ping", t: performance.now() }, { urgent: true });
  }

  #stopTimers() {
    clearInterval(this.ping_timer);
    clearInterval(this.silence_timer);
  }

  /** Gives up a connection, or an attempt at one, from which nothing is heard. */
  #checkSilence() {
    if (performance.now() - this.heard < SILENT_MS) return;
    this.socket.close();
    this.#onClose({ code: 0 });
  }

  #receive(message) {
    const now = performance.now();
    this.heard = now;
    if (message.type === "pong") {
      this.send({ type: "rtt", t0: message.t, t1: now, host: message.host }, { urgent: true });
    } else if (message.type === "refused") {
      this.refusal = message.why;
    } else {
      this.failures = 0;
      this.onMessage(message);
    }
  }

  async #onClose(event) {
    this.#stopTimers();
    this.socket = null;
    const known = CLOSE_REASONS[event.code];
    const why = this.refusal || (event.code === 4400 && event.reason ? `${known}: ${event.reason}` : known) || "Connection lost";
    if (event.code === 4401) {
      this.#setStatus("unpaired", CLOSE_REASONS[4401]);
      return;
    }
    if (event.code === 4403) {
      this.#setStatus("forbidden", why);
      return;
    }
    const busy = event.code === 4409;
    const wait = busy ? BUSY_AGAIN_MS : BACK_OFF_MS[Math.min(this.failures, BACK_OFF_MS.length - 1)];
    this.failures += 1;
    this.#setStatus(busy ? "busy" : "lost", why);
    this.timer = setTimeout(() => this.open(), wait * (0.9 + 0.2 * Math.random()));
    // To a page, a handshake refused for its token looks like a network failure; an HTTP request tells them apart.
    if (!busy && this.failures > 1 && (await isUnpaired()) && !this.socket) {
      clearTimeout(this.timer);
      this.#setStatus("unpaired", CLOSE_REASONS[4401]);
    }
  }

  #setStatus(phase, why) {
    this.status = { phase, why };
    this.onStatus(this.status);
  }
}

async function isUnpaired() {
  try {
    const answer = await fetch("/web/style.css", { cache: "no-store", signal: AbortSignal.timeout(SILENT_MS) });
    return [401, 403, 429].includes(answer.status);
  } catch {
    return false;
  }
}
