// The curves of an episode on a canvas: speed, gripper, events, the trimmed ends and the present time.

const COLOUR = { gap: "#ff7b72", stop: "#ff7b72", gate: "#f0b952", takeover: "#8fb8de", success: "#63d297" };
const SPEED = "#8fb8de";
const GRIPPER = "#63d297";
const TOP = 16;
const FOOT = 18;

/** view: of /api/episodes/NAME/view; time: s. */
export function drawTimeline(canvas, view, time) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const d = canvas.getContext("2d");
  d.scale(scale, scale);
  const x = (seconds) => (seconds / Math.max(view.seconds, 1e-3)) * width;
  const y = (share) => height - FOOT - share * (height - TOP - FOOT);
  events(d, view, x, height);
  const fastest = Math.max(...view.curves.speed.map(([, value]) => value), 1e-3);
  const most = Math.max(fastest, view.speed_limit ?? 0) * 1.05;
  if (view.speed_limit) rule(d, y(view.speed_limit / most), width);
  line(d, view.curves.speed, x, (value) => y(value / most), SPEED);
  line(d, view.curves.gripper, x, (value) => y(value), GRIPPER);
  shade(d, view, x, width, height);
  labels(d, view, width, height);
  d.fillStyle = "#ffffff";
  d.fillRect(x(time) - 1, 0, 2, height - FOOT + 4);
}

function events(d, view, x, height) {
  for (const { kind, start_s: start, end_s: end } of view.events) {
    const wide = Math.max(x(end) - x(start), 2);
    d.fillStyle = `${COLOUR[kind] ?? "#9aa7b6"}38`;
    d.fillRect(x(start), 0, wide, height - FOOT);
    d.fillStyle = COLOUR[kind] ?? "#9aa7b6";
    d.fillRect(x(start), 0, wide, 4);
  }
}

function rule(d, y, width) {
  d.strokeStyle = "#5b6775";
  d.setLineDash([4, 4]);
  d.beginPath();
  d.moveTo(0, y);
  d.lineTo(width, y);
  d.stroke();
  d.setLineDash([]);
}

function line(d, points, x, y, colour) {
  d.strokeStyle = colour;
  d.lineWidth = 1.6;
  d.beginPath();
  points.forEach(([at, value], index) => (index ? d.lineTo(x(at), y(value)) : d.moveTo(x(at), y(value))));
  d.stroke();
}

function shade(d, { marks, seconds }, x, width, height) {
  d.fillStyle = "rgb(15 19 25 / 78%)";
  const end = marks.trim_end_s ?? seconds;
  if (marks.trim_start_s > 0) d.fillRect(0, 0, x(marks.trim_start_s), height - FOOT);
  if (end < seconds) d.fillRect(x(end), 0, width - x(end), height - FOOT);
  d.fillStyle = "#f0b952";
  if (marks.trim_start_s > 0) d.fillRect(x(marks.trim_start_s) - 1, 0, 2, height - FOOT);
  if (end < seconds) d.fillRect(x(end) - 1, 0, 2, height - FOOT);
}

function labels(d, view, width, height) {
  d.font = "12px system-ui, sans-serif";
  d.textBaseline = "alphabetic";
  const texts = [[SPEED, `speed${view.speed_limit ? `, limit ${view.speed_limit} m/s` : ""}`], [GRIPPER, "gripper, up: closed"]];
  let left = 2;
  for (const [colour, text] of texts) {
    d.fillStyle = colour;
    d.fillText(text, left, height - 5);
    left += d.measureText(text).width + 18;
  }
  d.fillStyle = "#9aa7b6";
  d.textAlign = "right";
  d.fillText(`${view.seconds.toFixed(1)} s`, width - 2, height - 5);
  d.textAlign = "left";
}
