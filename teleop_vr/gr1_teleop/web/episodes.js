// Recorded episodes: one row per episode, counts per task, free disk space, outliers.

import { byId, createElement, setText } from "/web/dom.js";

const TONE = { success: "good", failure: "warn", recording: "record", unfinished: "warn" };
const OUTCOMES = ["success", "failure", "discarded", "unfinished"];
const PERIOD_MS = 4000;
const OUTLIERS_PERIOD_MS = 1000;
// One hour of two JPEG cameras takes about 10 GB.
const LOW_DISK_BYTES = 20e9;

export class EpisodeList {
  /** onOpen(name): the user wants to see an episode. */
  constructor({ onOpen }) {
    Object.assign(this, { onOpen, rows: new Map(), key: "", timer: 0, version: "", listing: null, outliers: {}, shown: [], reading: "" });
    byId("episodes-order").addEventListener("change", () => {
      this.reading = "Reading the figures";
      this.#show();
      this.refresh();
    });
    byId("browse").addEventListener("click", () => setText("browse", document.body.classList.toggle("browsing") ? "Back" : "All"));
    byId("episodes").addEventListener("click", (event) => {
      const row = event.target.closest(".episode");
      if (row?.dataset.open) this.onOpen(row.dataset.name);
    });
    this.refresh();
  }

  /** Refreshes the list at once if the state has changed. */
  update(state) {
    const key = JSON.stringify([state.counts, state.recording?.state, state.recording?.bag]);
    if (key === this.key) return;
    this.key = key;
    this.refresh();
  }

  /** {score, reasons}, or undefined. */
  outlier(name) {
    return this.outliers[name];
  }

  /** The episodes before and after one in the list's order: {name, outlier}, or null. */
  neighbours(name) {
    const complete = this.shown.filter((episode) => isComplete(episode));
    const index = complete.findIndex((episode) => episode.name === name);
    const of = (at) => (index >= 0 && complete[at] ? { name: complete[at].name, outlier: this.outliers[complete[at].name] } : null);
    return { before: of(index - 1), after: of(index + 1) };
  }

  async refresh() {
    clearTimeout(this.timer);
    const worst = byId("episodes-order").value === "worst";
    this.timer = setTimeout(() => this.refresh(), worst && this.reading ? OUTLIERS_PERIOD_MS : PERIOD_MS);
    try {
      const listing = await read(`/api/episodes?known=${this.version}`);
      if (worst) {
        const { outliers, done, total } = await read("/api/outliers");
        this.reading = done < total ? `Reading the figures: ${done} of ${total} episodes` : "";
        this.outliers = outliers;
      } else {
        this.reading = "";
      }
      this.#disk(listing.disk);
      this.version = listing.version;
      if (listing.episodes) this.listing = listing;
      this.#show();
    } catch (error) {
      setText("episodes-note", `The list cannot be read: ${error.message}`);
      byId("episodes-note").hidden = false;
    }
  }

  #show() {
    if (!this.listing) return;
    const { episodes, counts, total } = this.listing;
    const worst = byId("episodes-order").value === "worst";
    const score = (episode) => this.outliers[episode.name]?.score ?? 0;
    this.shown = worst ? episodes.filter((episode) => !episode.excluded).toSorted((one, other) => score(other) - score(one)) : episodes;
    const found = Object.keys(this.outliers).length;
    const none = episodes.length === 0 ? "None yet. The first one appears here when it ends." : "";
    const about = worst ? this.reading || `${found} of ${total} differ from the others of their task` : "";
    setText("episodes-note", none || about);
    byId("episodes-note").hidden = !(none || about);
    setText("episodes-total", total ? `${total}` : "");
    const counted = JSON.stringify(counts);
    if (counted !== this.counted) {
      this.counted = counted;
      byId("counts").replaceChildren(...Object.entries(counts).map(countRow));
      byId("counts-head").hidden = Object.keys(counts).length === 0;
    }
    const list = byId("episodes");
    const wanted = this.shown.map((episode) => this.#row(episode, worst));
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
  #row(episode, worst) {
    const reasons = worst ? (this.outliers[episode.name]?.reasons ?? []) : [];
    const key = JSON.stringify([episode, reasons]);
    const known = this.rows.get(episode.name);
    if (known?.key === key) return known.row;
    const row = createElement("li", { className: "episode" }, thumbnail(episode), description(episode, reasons));
    row.classList.toggle("excluded", Boolean(episode.excluded));
    row.dataset.name = episode.name;
    row.dataset.open = isComplete(episode) ? "yes" : "";
    this.rows.set(episode.name, { key, row });
    return row;
  }
}

const isComplete = (episode) => OUTCOMES.includes(episode.outcome) && !episode.problem;

async function read(address) {
  const answer = await fetch(address, { cache: "no-store" });
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return answer.json();
}

function thumbnail(episode) {
  const frame = createElement("button", { type: "button", className: "thumb", title: "Play this episode", ariaLabel: `Play ${episode.name}` });
  if (episode.outcome === "recording") return frame;
  const image = createElement("img", { alt: "", loading: "lazy", src: `/api/episodes/${encodeURIComponent(episode.name)}/thumbnail.jpg` });
  image.addEventListener("error", () => image.remove());
  frame.append(image);
  return frame;
}

function description(episode, reasons) {
  const when = episode.time ? new Date(episode.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false }) : "";
  const facts = [when, episode.seconds ? `${Math.round(episode.seconds)} s` : ""].filter(Boolean).join(" · ");
  const outcome = createElement("span", { className: "outcome" });
  setText(outcome, episode.outcome, TONE[episode.outcome] ?? "calm");
  const text_column = createElement("div", {}, createElement("p", { className: "instruction" }, episode.instruction || "no instruction"));
  text_column.append(createElement("p", { className: "muted small" }, outcome, facts ? ` · ${facts}` : ""));
  const marks = [episode.excluded && `excluded: ${episode.excluded}`, episode.trimmed && "trimmed", ...reasons].filter(Boolean);
  if (marks.length) text_column.append(createElement("p", { className: "marks small" }, marks.join("; ")));
  if (episode.problem) text_column.append(createElement("p", { className: "bad small" }, episode.problem));
  text_column.title = episode.name;
  return text_column;
}

function countRow([task, numbers]) {
  const cells = OUTCOMES.slice(0, 3).map((outcome) => createElement("td", {}, numbers[outcome] ? `${numbers[outcome]}` : "–"));
  return createElement("tr", {}, createElement("th", { scope: "row", title: task }, task), ...cells);
}
