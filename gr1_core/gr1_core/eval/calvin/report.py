"""One HTML page of an evaluation: rates beside published ones, success by task, videos and sheets, and how it
was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from gr1_core import atomic_write
from gr1_core.eval.calvin.references import Reference
from gr1_core.eval.wilson import wilson
from gr1_core.plural import plural

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #26282e; background: #fafaf8;
  margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child, td.text, th.text { text-align: left }
tr.own { font-weight: 600; background: #eef4ea }
.bar { background: #dcdcd6; width: 12rem; height: .8rem; position: relative }
.bar i { background: #5c8a57; height: 100%; display: block }
video, img { max-width: 100%; border: 1px solid #ddd }
figure { margin: 1rem 0 2rem }
small, .interval { color: #6b6e76; font-weight: 400 }
"""


def write_page(
    path: Path, result: Mapping, references: Sequence[Reference], recordings: Sequence[Mapping], title: str
) -> None:
    """recordings: {"number", "tasks", "done", "video", "sheet"} of each recorded chain; their files lie
    beside the page.
    """
    parts = [
        "<!doctype html><html lang=en><meta "
        f"charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1><p>{plural(result['chains'], 'chain')}, "
        f"mean length <b>{result['mean']:.2f}</b> "
        f"<span class=interval>({result['low']:.2f} .. {result['high']:.2f}, 95 %, bootstrap over "
        "chains)</span></p>",
        _rates(result, references),
        _tasks(result),
        _recordings(recordings),
        _facts(result),
    ]
    atomic_write.write_text(path, "\n".join(parts) + "\n")


def _rates(result: Mapping, references: Sequence[Reference]) -> str:
    head = "".join(f"<th>{count} in a row</th>" for count in range(1, 6))
    own = "".join(
        f"<td>{100 * rate:.1f}<br><span class=interval>{100 * low:.1f} .. {100 * high:.1f}</span></td>"
        for rate, (low, high) in zip(result["rates"], result["intervals"])
    )
    rows = [
        f"<tr class=own><td>{escape(result['policy'])}</td><td class=text>this "
        f"run</td>{own}<td>{result['mean']:.2f}</td></tr>"
    ]
    for one in references:
        cells = "".join(f"<td>{'' if rate is None else f'{100 * rate:.1f}'}</td>" for rate in one.rates)
        star = "" if one.published else " *"
        rows.append(
            f"<tr><td>{escape(one.name)}</td><td "
            f"class=text>{escape(one.data)}</td>{cells}<td>{one.mean:.2f}{star}</td></tr>"
        )
    return (
        "<h2>Success in percent of the chains</h2><table><tr><th></th><th class=text>data</th>"
        f"{head}<th>mean length</th></tr>{''.join(rows)}</table>"
        "<p><small>* self-reported by its authors after GR-1's paper. Only the first row was measured "
        "here.</small></p>"
    )


def _tasks(result: Mapping) -> str:
    rows = []
    for task, row in sorted(
        result["tasks"].items(), key=lambda item: item[1]["successes"] / item[1]["tried"]
    ):
        rate = row["successes"] / row["tried"]
        low, high = wilson(row["successes"], row["tried"])
        rows.append(
            f"<tr><td>{escape(task)}</td><td>{row['successes']} / {row['tried']}</td><td>{rate:.2f}</td>"
            f"<td class=interval>{low:.2f} .. {high:.2f}</td><td><div class=bar><i "
            f"style='width:{100 * rate:.0f}%'></i></div></td></tr>"
        )
    return (
        "<h2>Success by task, the worst first</h2><table><tr><th>task</th><th>successes / "
        "tried</th><th>rate</th><th>95 %</th>"
        f"<th></th></tr>{''.join(rows)}</table>"
    )


def _recordings(recordings: Sequence[Mapping]) -> str:
    if not recordings:
        return ""
    figures = [
        f"<figure><figcaption>chain {one['number']}: {escape(', '.join(one['tasks']))}; {one['done']} in "
        "a row</figcaption>"
        f"<video controls src='{escape(one['video'])}'></video><br><img loading=lazy "
        f"src='{escape(one['sheet'])}' alt=''></figure>"
        for one in recordings
    ]
    return f"<h2>Recorded chains</h2>{''.join(figures)}"


def _facts(result: Mapping) -> str:
    shown = (
        "policy",
        "weights",
        "rig",
        "scene",
        "renderer",
        "instructions",
        "calvin",
        "calvin_env",
        "sequences_sha256",
        "versions",
    )
    rows = "".join(
        f"<tr><td>{key}</td><td class=text>{escape(str(result[key]))}</td></tr>"
        for key in shown
        if result.get(key)
    )
    warnings = "".join(f"<p><b>Warning:</b> {escape(text)}</p>" for text in result.get("warnings", ()))
    return f"<h2>How it was measured</h2>{warnings}<table>{rows}</table>"
