// Detects the kind of device from the browser's user agent.

const HEADSETS = [/Quest \d\w*/, /Quest Pro/, /Quest/, /Pico [\w ]+?(?=[;)])/i, /Vive [\w ]+?(?=[;)])/i, /Wolvic/];

export function device() {
  const agent = navigator.userAgent;
  for (const pattern of HEADSETS) {
    const found = agent.match(pattern);
    if (found) return { name: found[0].slice(0, 40), kind: "headset" };
  }
  if (/ VR /.test(agent)) return { name: "Headset", kind: "headset" };
  if (/iPhone|Android.*Mobile/.test(agent)) return { name: /iPhone/.test(agent) ? "iPhone" : "Android phone", kind: "phone" };
  const system = agent.match(/Windows|Macintosh|Linux|CrOS/)?.[0] ?? "Browser";
  return { name: system === "Macintosh" ? "Mac" : system, kind: "desk" };
}

/** The best immersive mode of this browser: passthrough first, then a rendered room; "" if none. */
export async function immersiveMode() {
  for (const mode of ["immersive-ar", "immersive-vr"]) {
    if (await navigator.xr?.isSessionSupported(mode).catch(() => false)) return mode;
  }
  return "";
}
