// The few things that both pages do to their elements.

export const byId = (id) => document.getElementById(id);

/** Sets an element's text if it differs; with a tone, a dot of that tone before it. */
export function text(id, words, tone = "") {
  const element = typeof id === "string" ? byId(id) : id;
  const key = `${tone}|${words}`;
  if (element.dataset.shown === key) return;
  element.dataset.shown = key;
  element.replaceChildren(...(tone ? [made("span", { className: `dot ${tone}` })] : []), words);
}

/** Shows an element with these words, or hides it when there are none. */
export function show(id, words) {
  const element = byId(id);
  element.hidden = !words;
  if (typeof words === "string") text(element, words);
}

export function made(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** One row of a description list. */
export function fact(term, meaning) {
  return made("div", {}, made("dt", {}, term), made("dd", {}, meaning));
}
