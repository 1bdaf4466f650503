// The panel in front of the operator, drawn on a canvas; redrawn only if its content has changed.

import { clutchLabel, confirmLabel, gateLabel, milliseconds, recordingLabel, taskLabel } from "/web/labels.js";

const WIDTH = 1024;
const HEIGHT = 440;

const FONT = "system-ui, 'Segoe UI', Roboto, sans-serif";
const COLOUR = { good: "#63d297", calm: "#aab6c5", warn: "#f0b952", bad: "#ff7b72", record: "#ff7b72" };
const TEXT = "#eef2f7";
const MUTED = "#aab6c5";
const EDGE = 44;
// Characters of a foot line beside the round trip.
const LINE = 56;

export class Hud {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.width = WIDTH;
    this.canvas.height = HEIGHT;
    this.drawing = this.canvas.getContext("2d");
    this.shown = "";
  }

  /**
   * status: of the channel; state: the server's last; driver: {kind, as in clutchLabel; side of the active hand; idle: which hand may
   * drive}. Returns true if the panel has changed.
   */
  update(status, state, driver) {
    const content = this.#content(status, state, driver);
    const key = JSON.stringify(content);
    if (key === this.shown) return false;
    this.shown = key;
    this.#draw(content);
    return true;
  }

  #content(status, state, { kind, side, idle }) {
    if (status.phase !== "open" || !state) {
      const waiting = status.phase === "connecting" || (status.phase === "open" && !state);
      const trying = status.phase === "lost" || status.phase === "busy" ? "Trying again. " : "";
      return {
        head: { tone: waiting ? "calm" : "bad", text: waiting ? "Connecting" : "No control", detail: status.why },
        instruction: "",
        confirm: "",
        why: "",
        task: null,
        feet: [{ tone: "calm", text: `${trying}The arm does not follow.` }],
        rtt: null,
      };
    }
    const { loss } = state.recording ?? {};
    const network = state.network?.advice ? wrapped(`Network: ${state.network.advice}`) : [];
    const warnings = [...(state.warnings ?? []), ...(loss ? [loss] : []), ...network];
    const [save, drop] = side === "left" ? ["X", "Y"] : ["A", "B"];
    return {
      head: clutchLabel(state, kind, idle),
      recording: recordingLabel(state.recording),
      instruction: state.recording?.instruction ?? "",
      confirm: confirmLabel(state.recording, { success: `Press ${save}`, discard: `Press ${drop}` }),
      why: state.recording?.confirm_why ?? "",
      task: taskLabel(state.tasks, state.recording?.instruction),
      feet: warnings.length ? warnings.slice(0, 2).map((text) => ({ tone: "bad", text })) : [gateLabel(state.gate)],
      // Rounded to 5 ms: flickering numbers distract.
      rtt: Number.isFinite(state.rtt_ms) ? { text: milliseconds(Math.max(1, Math.round(state.rtt_ms / 5) * 5)), tone: state.network?.tone ?? "calm" } : null,
    };
  }

  #draw({ head, recording, instruction, confirm, why, task, feet, rtt }) {
    const d = this.drawing;
    d.clearRect(0, 0, WIDTH, HEIGHT);
    d.fillStyle = "rgba(15, 19, 25, 0.88)";
    d.beginPath();
    d.roundRect(4, 4, WIDTH - 8, HEIGHT - 8, 32);
    d.fill();
    d.lineWidth = 4;
    d.strokeStyle = head.tone === "calm" ? "#323c49" : COLOUR[head.tone];
    d.stroke();

    d.textBaseline = "alphabetic";
    this.#dot(EDGE + 14, 74, 14, COLOUR[head.tone]);
    this.#line(head.text, EDGE + 50, 90, 46, TEXT, 600, WIDTH - 2 * EDGE - 50);
    if (head.detail) this.#line(head.detail, EDGE + 50, 136, 30, MUTED, 400, WIDTH - 2 * EDGE - 50);

    this.#rule(164);
    if (confirm) {
      d.fillStyle = "#f0b952";
      d.beginPath();
      d.roundRect(EDGE - 16, 184, WIDTH - 2 * EDGE + 32, 136, 20);
      d.fill();
      this.#line(confirm, EDGE + 12, why ? 240 : 266, why ? 38 : 44, "#17130a", 600, WIDTH - 2 * EDGE - 24);
      if (why) this.#line(why, EDGE + 12, 294, 28, "#17130a", 500, WIDTH - 2 * EDGE - 24);
    } else if (recording) {
      this.#dot(EDGE + 14, 214, 12, recording.tone === "record" ? COLOUR.record : "#5b6775");
      this.#line(recording.text, EDGE + 50, 226, 36, recording.tone === "record" ? TEXT : MUTED, 600, 460);
      if (task) {
        d.textAlign = "right";
        this.#line(`${task.position}: ${task.text}`, WIDTH - EDGE, 226, 30, MUTED, 400, 420);
        d.textAlign = "left";
      }
      this.#line(instruction ? `“${instruction}”` : "No instruction yet: push the stick or type one at the workstation", EDGE + 50, 284, 36, instruction ? TEXT : MUTED, 400, WIDTH - 2 * EDGE - 50);
    }
    this.#rule(340);
    feet.forEach((foot, index) => {
      const top = feet.length > 1 ? 376 + index * 34 : 392;
      this.#line(foot.text, EDGE, top, feet.length > 1 ? 26 : 30, COLOUR[foot.tone], 400, WIDTH - 2 * EDGE - 140);
    });
    if (rtt) {
      d.textAlign = "right";
      this.#line(rtt.text, WIDTH - EDGE, 392, 30, rtt.tone === "good" ? MUTED : COLOUR[rtt.tone], 400, 130);
      d.textAlign = "left";
    }
  }

  #dot(x, y, radius, colour) {
    this.drawing.fillStyle = colour;
    this.drawing.beginPath();
    this.drawing.arc(x, y, radius, 0, 2 * Math.PI);
    this.drawing.fill();
  }

  #rule(y) {
    this.drawing.fillStyle = "#2a333f";
    this.drawing.fillRect(EDGE, y, WIDTH - 2 * EDGE, 2);
  }

  /** One line of text, shortened with an ellipsis to fit. */
  #line(text, x, y, size, colour, weight, width) {
    const d = this.drawing;
    d.font = `${weight} ${size}px ${FONT}`;
    d.fillStyle = colour;
    let shown = text;
    while (shown.length > 1 && d.measureText(shown).width > width) shown = `${shown.replace(/…$/, "").slice(0, -1)}…`;
    d.fillText(shown, x, y);
  }
}

/** The text in lines of at most LINE characters, split between words. */
function wrapped(text) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (lines.at(-1) && `${lines.at(-1)} ${word}`.length > LINE) lines.push(word);
    else lines[lines.length - 1] = `${lines.at(-1)} ${word}`.trim();
  }
  return lines;
}
