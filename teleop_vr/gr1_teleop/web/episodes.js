// Recorded episodes: one row per episode, counts per task, free disk space.

import { byId, createElement, setText } from "/web/dom.js";

const TONE = { success: "good", failure: "warn", recording: "record", unfinished: "warn" };
const OUTCOMES = ["success", "failure", "discarded", "unfinished"];
const PERIOD_MS = 4000;
// One hour of two JPEG cameras takes about 10 GB.
const LOW_DISK_BYTES = 20e9;

export class EpisodeList {
  constructor() {
    this.rows = new Map();
    this.key = "";
    this.timer = 0;
    this.refresh();
  }

  /** Refreshes the list at once if the state has changed. */
  update(state) {
    const key = JSON.stringify([state.counts, state.recording?.state, state.recording?.bag]);
    if (key === this.key) return;
    this.key = key;
    this.refresh();
  }

  async refresh() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), PERIOD_MS);
    try {
      const answer = await fetch("/api/episodes", { cache: "no-store" });
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      this.#show(await answer.json());
    } catch (error) {
      setText("episodes-note", `The list cannot be read: ${error.message}`);
      byId("episodes-note").hidden = false;
    }
  }

  #show({ episodes, counts, total, disk }) {
    byId("episodes-note").hidden = episodes.length > 0;
    setText("episodes-note", "None yet. The first one appears here when it ends.");
    setText("episodes-total", total ? `${total}` : "");
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
    const low = disk.free < LOW_DISK_BYTES;
    setText("disk", `${(disk.free / 1e9).toFixed(0)} GB free on the disk`, low ? "bad" : "");
  }

  /** The row of an episode; kept while it does not change, so that its thumbnail is not loaded again. */
  #row(episode) {
    const key = JSON.stringify(episode);
    const known = this.rows.get(episode.name);
    if (known?.key === key) return known.row;
    const row = createElement("li", { className: "episode" }, thumbnail(episode), description(episode));
    this.rows.set(episode.name, { key, row });
    return row;
  }
}

function thumbnail(episode) {
  const frame = createElement("div", { className: "thumb" });
  if (episode.outcome === "recording") return frame;
  const image = createElement("img", { alt: "", loading: "lazy", src: `/api/episodes/${encodeURIComponent(episode.name)}/thumbnail.jpg` });
  image.addEventListener("error", () => image.remove());
  frame.append(image);
  return frame;
}

function description(episode) {
  const when = episode.time ? new Date(episode.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false }) : "";
  const facts = [when, episode.seconds ? `${Math.round(episode.seconds)} s` : ""].filter(Boolean).join(" · ");
  const outcome = createElement("span", { className: "outcome" });
  setText(outcome, episode.outcome, TONE[episode.outcome] ?? "calm");
  const text_column = createElement("div", {}, createElement("p", { className: "instruction" }, episode.instruction || "no instruction"));
  text_column.append(createElement("p", { className: "muted small" }, outcome, facts ? ` · ${facts}` : ""));
  if (episode.problem) text_column.append(createElement("p", { className: "bad small" }, episode.problem));
  text_column.title = episode.name;
  return text_column;
}

function countRow([task, numbers]) {
  const cells = OUTCOMES.slice(0, 3).map((outcome) => createElement("td", {}, numbers[outcome] ? `${numbers[outcome]}` : "–"));
  return createElement("tr", {}, createElement("th", { scope: "row", title: task }, task), ...cells);
}
