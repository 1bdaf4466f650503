// DOM helpers of both pages.

export const byId = (id) => document.getElementById(id);

/** Sets an element's text if it differs; with a tone, puts a dot of that tone before it. */
export function setText(id, content, tone = "") {
  const element = typeof id === "string" ? byId(id) : id;
  const key = `${tone}|${content}`;
  if (element.dataset.shown === key) return;
  element.dataset.shown = key;
  element.replaceChildren(...(tone ? [createElement("span", { className: `dot ${tone}` })] : []), content);
}

/** Shows an element with this text, or hides it if the text is empty. */
export function showText(id, content) {
  const element = byId(id);
  element.hidden = !content;
  if (typeof content === "string") setText(element, content);
}

export function createElement(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** One row of a description list. */
export function describe(term, meaning) {
  return createElement("div", {}, createElement("dt", {}, term), createElement("dd", {}, meaning));
}
