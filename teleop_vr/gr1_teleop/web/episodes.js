// What has been recorded: a row for each episode, numbers for each task, the disk.

import { byId, made, text } from "/web/dom.js";

const TONE = { success: "good", failure: "warn", recording: "record", unfinished: "warn" };
const OUTCOMES = ["success", "failure", "discarded", "unfinished"];
const EVERY_MS = 4000;
// An hour of two cameras as JPEG is about 10 GB.
const SCARCE_BYTES = 20e9;

export class EpisodeList {
  constructor() {
    this.rows = new Map();
    this.key = "";
    this.timer = 0;
    this.ask();
  }

  /** Asks anew at once when the state says that something has changed. */
  tell(state) {
    const key = JSON.stringify([state.counts, state.recording?.state, state.recording?.bag]);
    if (key === this.key) return;
    this.key = key;
    this.ask();
  }

  async ask() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), EVERY_MS);
    try {
      const answer = await fetch("/api/episodes", { cache: "no-store" });
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      this.#show(await answer.json());
    } catch (error) {
      text("episodes-note", `The list cannot be read: ${error.message}`);
      byId("episodes-note").hidden = false;
    }
  }

  #show({ episodes, counts, total, disk }) {
    byId("episodes-note").hidden = episodes.length > 0;
    text("episodes-note", "None yet. The first one appears here when it ends.");
    text("episodes-total", total ? `${total}` : "");
    this.#disk(disk);
    byId("counts").replaceChildren(...Object.entries(counts).map(countRow));
    byId("counts-head").hidden = Object.keys(counts).length === 0;
    const list = byId("episodes");
    const wanted = episodes.map((episode) => this.#row(episode));
    wanted.forEach((row, index) => list.children[index] === row || list.insertBefore(row, list.children[index] ?? null));
    while (list.children.length > wanted.length) list.lastElementChild.remove();
    const names = new Set(episodes.map((episode) => episode.name));
    for (const name of this.rows.keys()) if (!names.has(name)) this.rows.delete(name);
  }

  #disk(disk) {
    if (!disk?.total) return;
    const scarce = disk.free < SCARCE_BYTES;
    text("disk", `${(disk.free / 1e9).toFixed(0)} GB left on the disk`, scarce ? "bad" : "");
  }

  /** The row of an episode; kept while nothing in it changes, so that its picture is not loaded anew. */
  #row(episode) {
    const key = JSON.stringify(episode);
    const known = this.rows.get(episode.name);
    if (known?.key === key) return known.row;
    const row = made("li", { className: "episode" }, thumbnail(episode), description(episode));
    this.rows.set(episode.name, { key, row });
    return row;
  }
}

function thumbnail(episode) {
  const frame = made("div", { className: "thumb" });
  if (episode.outcome === "recording") return frame;
  const picture = made("img", { alt: "", loading: "lazy", src: `/api/episodes/${encodeURIComponent(episode.name)}/thumbnail.jpg` });
  picture.addEventListener("error", () => picture.remove());
  frame.append(picture);
  return frame;
}

function description(episode) {
  const when = episode.time ? new Date(episode.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false }) : "";
  const facts = [when, episode.seconds ? `${Math.round(episode.seconds)} s` : ""].filter(Boolean).join(" · ");
  const outcome = made("span", { className: "outcome" });
  text(outcome, episode.outcome, TONE[episode.outcome] ?? "calm");
  const words = made("div", {}, made("p", { className: "instruction" }, episode.instruction || "no instruction"));
  words.append(made("p", { className: "muted small" }, outcome, facts ? ` · ${facts}` : ""));
  if (episode.problem) words.append(made("p", { className: "bad small" }, episode.problem));
  words.title = episode.name;
  return words;
}

function countRow([task, numbers]) {
  const cells = OUTCOMES.slice(0, 3).map((outcome) => made("td", {}, numbers[outcome] ? `${numbers[outcome]}` : "–"));
  return made("tr", {}, made("th", { scope: "row", title: task }, task), ...cells);
}
