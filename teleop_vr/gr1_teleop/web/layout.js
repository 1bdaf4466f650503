// Which hand drives: either (the one that grips), or only the right or the left one. Kept on the device.

const KEY = "gr1-hand";
export const LAYOUTS = ["either", "right", "left"];

export function loadLayout() {
  try {
    const kept = localStorage.getItem(KEY);
    return LAYOUTS.includes(kept) ? kept : "either";
  } catch {
    return "either"; // storage is switched off in this browser
  }
}

export function saveLayout(layout) {
  try {
    localStorage.setItem(KEY, layout);
  } catch {
    // kept for this page only
  }
}

/** Names of the lower and the upper button of the controller that drives. */
export const buttonNames = (layout) => ({ either: ["A or X", "B or Y"], right: ["A", "B"], left: ["X", "Y"] })[layout];
