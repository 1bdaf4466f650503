// The network test before the first grip: messages at the pace and of the size of a hand's samples, judged by the server.

const SECONDS = 2;
const RATE_HZ = 72;
const ANSWER_MS = 5000;
// A sample of a hand has about this many bytes.
const PADDING = "x".repeat(300);
const MAX_BUFFERED_BYTES = 8000;
const NO_ANSWER = { answered: false, tone: "bad", text: "no answer: the network was lost during the test", advice: "move nearer to the access point, or connect the headset by USB (adb reverse)" };

/** Resolves to {answered, tone, text, advice}; text has rate, round trip, jitter, longest gap and loss. onProgress(share 0..1). */
export function testNetwork(onProgress = () => {}) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${location.protocol === "http:" ? "ws:" : "wss:"}//${location.host}/ws/network`);
    const trips = [];
    let seq = -1;
    let pace = 0;
    const finish = (found) => {
      clearInterval(pace);
      clearTimeout(limit);
      socket.onclose = null;
      socket.close();
      resolve(found);
    };
    const limit = setTimeout(() => finish(NO_ANSWER), 1000 * SECONDS + ANSWER_MS);
    const count = SECONDS * RATE_HZ;
    const probe = () => {
      seq += 1;
      onProgress(seq / count);
      // As with samples: what would wait in the page's own queue is not sent, and counts as lost.
      if (socket.bufferedAmount <= MAX_BUFFERED_BYTES) socket.send(JSON.stringify({ type: "probe", seq, t: performance.now(), padding: PADDING }));
      if (seq < count) return;
      clearInterval(pace);
      socket.send(JSON.stringify({ type: "probes_end", seq, rtt_ms: median(trips) }));
    };
    socket.onopen = () => (pace = setInterval(probe, 1000 / RATE_HZ));
    socket.onclose = () => finish(NO_ANSWER);
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "pong") trips.push(performance.now() - message.t);
      if (message.type === "network") finish({ answered: true, ...message });
    };
  });
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
