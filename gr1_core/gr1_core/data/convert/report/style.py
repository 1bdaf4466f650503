"""The report's style sheet; light and dark."""

CSS = """
:root { color-scheme: light dark; --ink: #1b2127; --dim: #65717c; --line: #dfe4e8; --paper: #f5f7f8;
  --card: #ffffff; --accent: #0b7285;
  --soft: #99c9d2; --warn: #b35900; --bad: #b3261e; --good: #2b7a3d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8eb; --dim: #94a0aa; --line: #323a41;
  --paper: #15191d; --card: #1d2328;
  --accent: #4dbdd0; --soft: #2c6c78; --warn: #f0a04b; --bad: #f2786f; --good: #72c788; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1320px; padding: 28px 24px 60px; background: var(--paper);
  color: var(--ink);
  font: 14px/1.5 system-ui, "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 17px; margin: 36px 0 10px; }
h3 { font-size: 14px; margin: 0 0 6px; }
p { margin: 4px 0 10px; max-width: 95ch; } .dim { color: var(--dim); }
code { font: 12.5px ui-monospace, "DejaVu Sans Mono", monospace; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px;
  margin: 18px 0 0; }
.tile, .panel, .episode { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
.tile { padding: 10px 14px; } .tile b { display: block; font-size: 22px; font-weight: 600; }
.tile span { color: var(--dim); font-size: 12.5px; }
.panel { padding: 14px 16px; overflow-x: auto; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 12px;
  align-items: start; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: 12.5px; }
th, td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; } td.wide { width: 60%; overflow-wrap: anywhere; }
.finding { border-left: 4px solid var(--warn); padding: 8px 14px; margin: 0 0 8px;
  background: var(--card); border-radius: 0 8px 8px 0; }
.finding.bad { border-color: var(--bad); } .finding.good { border-color: var(--good); }
.finding p { margin: 2px 0; }
.finding ul { margin: 4px 0 2px; padding-left: 18px; color: var(--dim); overflow-wrap: anywhere; }
.halves { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 12px;
  align-items: start; }
.halves > div { display: grid; gap: 12px; }
.bar { display: grid; grid-template-columns: minmax(90px, 1fr) 1fr 48px; gap: 10px; align-items: center;
  padding: 1px 0; }
.bar .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar .count { text-align: right; color: var(--dim); }
.track { height: 10px; }
.track span { display: block; height: 100%; background: var(--accent); border-radius: 2px; min-width: 2px; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--dim); font-size: 10.5px; }
.histogram rect { fill: var(--accent); } .axis { stroke: var(--line); }
.limit { stroke: var(--bad); stroke-dasharray: 3 3; }
.paths polyline { fill: none; stroke: var(--accent); stroke-opacity: .38; stroke-width: 1.1; }
.paths circle { fill: var(--warn); fill-opacity: .8; }
.paths .box { fill: none; stroke: var(--dim); stroke-dasharray: 4 4; stroke-opacity: .6; }
.episodes { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 12px; }
.episode { padding: 10px 12px; }
.episode .strip { display: grid; grid-template-columns: repeat(3, 1fr); gap: 3px; margin-bottom: 3px; }
.episode img { width: 100%; display: block; border-radius: 3px; } .episode .task { font-weight: 600; }
.episode .about { color: var(--dim); font-size: 12.5px; }
.flag { display: inline-block; font-size: 11.5px; padding: 0 7px; border-radius: 9px; color: var(--warn);
  border: 1px solid currentColor; margin-right: 4px; }
summary { cursor: pointer; color: var(--accent); }
"""
