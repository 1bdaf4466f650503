// The task list: each instruction with its progress; a click chooses the instruction of the next episode.

import { byId, createElement, setText } from "/web/dom.js";
import { progress } from "/web/labels.js";

export class TaskPanel {
  /** onChoose(instruction). */
  constructor(onChoose) {
    this.shown = "";
    byId("tasks").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) onChoose(button.dataset.instruction);
    });
  }

  /** tasks: [{instruction, done, episodes}]; recording: of the server's state. */
  update(tasks, recording) {
    const busy = recording.state === "recording" || Boolean(recording.busy);
    const key = JSON.stringify([tasks, recording.instruction, busy]);
    if (key === this.shown) return;
    this.shown = key;
    byId("tasks").hidden = tasks.length === 0;
    byId("counts-table").hidden = tasks.length > 0;
    setText("counts-title", tasks.length ? "Task list" : "Per task");
    byId("tasks").replaceChildren(...tasks.map((task) => this.#row(task, recording.instruction, busy)));
  }

  #row(task, instruction, busy) {
    const complete = task.episodes > 0 && task.done >= task.episodes;
    const now = task.instruction === instruction;
    const button = createElement("button", { type: "button", disabled: busy, title: task.instruction, className: now ? "now" : complete ? "complete" : "" });
    button.dataset.instruction = task.instruction;
    button.append(createElement("span", {}, task.instruction), createElement("span", {}, progress(task)));
    if (now) button.setAttribute("aria-current", "true");
    return createElement("li", {}, button);
  }
}
