// One websocket to the server that comes back by itself after a loss, and tells in words how it stands.

const BACK_OFF_MS = [250, 500, 1000, 2000, 4000];
const BUSY_AGAIN_MS = 3000;
// More than this waiting to be sent means that the network is behind. A pose that waits is worth nothing: it would arrive
// late and let the arm lurch, so it is left out and the next one is tried.
const MOST_WAITING_BYTES = 8000;

const CLOSED_BECAUSE = {
  4400: "The server did not understand a message",
  4401: "This page is not paired (any more): open the address that the terminal shows, or scan its QR code",
  4409: "Another operator is in control",
  1009: "A message was too large",
};

export class Channel {
  /**
   * path: "/ws/operator" or "/ws/watch"; hello: the first message of every connection, or null;
   * onMessage(object); onStatus({phase, why}) with phase connecting | open | lost | busy | unpaired | closed.
   */
  constructor(path, { hello = null, onMessage, onStatus }) {
    this.url = `${location.protocol === "http:" ? "ws:" : "wss:"}//${location.host}${path}`;
    this.hello = hello;
    this.onMessage = onMessage;
    this.onStatus = onStatus;
    this.socket = null;
    this.status = { phase: "closed", why: "" };
    this.failures = 0;
    this.left_out = 0;
    this.timer = 0;
    this.ping_timer = 0;
  }

  open() {
    if (this.socket) return;
    clearTimeout(this.timer);
    this.#tell("connecting", "Connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.refusal = "";
    socket.onopen = () => {
      if (this.hello) {
        socket.send(JSON.stringify(this.hello));
        this.#ping();
        this.ping_timer = setInterval(() => this.#ping(), 1000);
      }
      this.#tell("open", "");
    };
    socket.onmessage = (event) => this.#take(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (this.socket === socket) this.#closed(event);
    };
  }

  /** Ends the connection for good; open() begins another one. */
  close() {
    clearTimeout(this.timer);
    clearInterval(this.ping_timer);
    const socket = this.socket;
    this.socket = null;
    if (socket?.readyState === WebSocket.OPEN && this.hello) socket.send(JSON.stringify({ type: "bye" }));
    socket?.close(1000);
    this.#tell("closed", "");
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** True if it went out. `urgent` messages (episodes, recenter) are never left out for a slow network. */
  send(message, { urgent = false } = {}) {
    if (!this.isOpen) return false;
    if (!urgent && this.socket.bufferedAmount > MOST_WAITING_BYTES) {
      this.left_out += 1;
      return false;
    }
    this.socket.send(JSON.stringify(message));
    return true;
  }

  #ping() {
    this.send({ type: "ping", t: performance.now() }, { urgent: true });
  }

  #take(message) {
    const now = performance.now();
    if (message.type === "pong") {
      this.send({ type: "rtt", t0: message.t, t1: now, host: message.host }, { urgent: true });
    } else if (message.type === "refused") {
      this.refusal = message.why;
    } else {
      this.failures = 0;
      this.onMessage(message);
    }
  }

  async #closed(event) {
    clearInterval(this.ping_timer);
    this.socket = null;
    const known = CLOSED_BECAUSE[event.code];
    const why = this.refusal || (event.code === 4400 && event.reason ? `${known}: ${event.reason}` : known) || "Connection lost";
    if (event.code === 4401) {
      this.#tell("unpaired", CLOSED_BECAUSE[4401]);
      return;
    }
    const busy = event.code === 4409;
    const wait = busy ? BUSY_AGAIN_MS : BACK_OFF_MS[Math.min(this.failures, BACK_OFF_MS.length - 1)];
    this.failures += 1;
    this.#tell(busy ? "busy" : "lost", why);
    this.timer = setTimeout(() => this.open(), wait * (0.9 + 0.2 * Math.random()));
    // A handshake refused for its token looks to a page like a network that failed; an ordinary request tells them apart.
    if (!busy && this.failures > 1 && (await unpaired()) && !this.socket) {
      clearTimeout(this.timer);
      this.#tell("unpaired", CLOSED_BECAUSE[4401]);
    }
  }

  #tell(phase, why) {
    this.status = { phase, why };
    this.onStatus(this.status);
  }
}

async function unpaired() {
  try {
    const answer = await fetch("/web/style.css", { cache: "no-store" });
    return [401, 403, 429].includes(answer.status);
  } catch {
    return false;
  }
}
