"""The table of an evaluation on the rig, its JSON document, and the page with both videos of each pair.
ROS-free.
"""

from __future__ import annotations

import html
import os
from collections import Counter
from pathlib import Path

from gr1_core import atomic_write
from gr1_core.eval.wilson import wilson
from gr1_evaluation.rig.records import Records
from gr1_evaluation.rig.sequential_test import (
    ALPHA,
    NAME,
    decision,
    difference_interval,
    e_value,
    share_interval,
)

PAGE = "report.html"
_NAMES = ("A", "B")


def document(records: Records) -> dict:
    """JSON-able result. This opens the order."""
    counts = records.counts()
    difference, low, high = difference_interval(counts)
    share_low, share_high = share_interval(counts)
    won = counts.both + counts.only_a, counts.both + counts.only_b
    return {
        "pairs": counts.pairs,
        "better": decision(counts),
        "e_value": round(e_value(counts), 3),
        "alpha": ALPHA,
        **{
            name.lower(): _rate(str(records.plan.checkpoints[number]), won[number], counts.pairs)
            for number, name in enumerate(_NAMES)
        },
        "difference": round(difference, 4),
        "difference_low": round(low, 4),
        "difference_high": round(high, 4),
        "both": counts.both,
        "only_a": counts.only_a,
        "only_b": counts.only_b,
        "neither": counts.neither,
        "share_low": round(share_low, 4),
        "share_high": round(share_high, 4),
        "redone": sum(one.outcome == "redo" for one in records.results),
        "blind": all(one.blind for one in records.results),
        "order_sha256": records.order.sha256,
    }


def _rate(checkpoint: str, won: int, tried: int) -> dict:
    low, high = wilson(won, tried)
    return {"checkpoint": checkpoint, "successes": won, "low": round(low, 4), "high": round(high, 4)}


def table(records: Records) -> str:
    """Lines for a terminal. This opens the order."""
    found, lines = document(records), []
    for number, name in enumerate(_NAMES):
        rate = found[name.lower()]
        kinds = ", ".join(f"{kind} {times}" for kind, times in _kinds(records, number).most_common())
        lines.append(
            f"{name}  {rate['successes']:3d} of {found['pairs']} ({rate['low']:.2f} to {rate['high']:.2f})  "
            f"{rate['checkpoint']}{f'  failures: {kinds}' if kinds else ''}"
        )
    lines += [
        f"both {found['both']}, only A {found['only_a']}, only B {found['only_b']}, "
        f"neither {found['neither']}",
        f"A minus B {found['difference']:+.2f} ({found['difference_low']:+.2f} to "
        f"{found['difference_high']:+.2f}, Newcombe's 95 % interval for a fixed number of pairs)",
        f"A's share of the pairs that differ: {found['share_low']:.2f} to {found['share_high']:.2f}, valid "
        "whenever one stops",
        _verdict(found),
    ]
    return "\n".join(lines)


def _verdict(found: dict) -> str:
    said = f"{found['better'].upper()} is better" if found["better"] else "not decided"
    blind = "blind" if found["blind"] else "NOT blind: the order was opened before the end"
    return (
        f"{said} after {found['pairs']} pairs: evidence {found['e_value']:.1f}, {1 / found['alpha']:.0f} "
        f"decide ({NAME}, error at most {found['alpha']:g}); {blind}"
    )


def _kinds(records: Records, number: int) -> Counter[str]:
    pairs = filter(None, map(records.pair, range(records.plan.trials)))
    return Counter(pair[number].kind for pair in pairs if pair[number].outcome == "failure")


def write_page(records: Records) -> Path:
    """report.html beside the videos. This opens the order."""
    rows = []
    for number in range(records.plan.trials):
        if pair := records.pair(number):
            task = html.escape(pair[0].task)
            first = _NAMES[records.order.checkpoint(number, 0)]
            cells = "".join(_cell(one) for one in pair)
            rows.append(f"<tr><th>{number + 1}<br><small>{task}<br>{first} first</small></th>{cells}</tr>")
    head = "".join(
        f"<th>{name}<br><small>{html.escape(os.path.basename(str(folder)))}</small></th>"
        for name, folder in zip(_NAMES, records.plan.checkpoints)
    )
    page = _PAGE.format(
        table=html.escape(table(records)), head=head, rows="\n".join(rows), sha=records.order.sha256
    )
    file = records.folder / PAGE
    atomic_write.write_text(file, page)
    return file


def _cell(one) -> str:
    kind = f": {html.escape(one.kind)}" if one.kind else ""
    notes = [f"called: {html.escape(reason)}" for reason in one.calls]
    notes += ["a person took over"] if one.taken_over else []
    return (
        f'<td class="{one.outcome}"><video controls preload="none" poster="{one.start}" src="{one.video}">'
        f"</video><p>{one.outcome}{kind}, {one.seconds:.1f} s, judged: {one.judge}</p>"
        f"{''.join(f'<p>{note}</p>' for note in notes)}</td>"
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Evaluation on the rig</title>
<style>
body {{ font: 15px system-ui, sans-serif; margin: 24px; color: #1b1f24; }}
pre {{ background: #f3f5f7; padding: 12px; white-space: pre-wrap; }}
td, th {{ padding: 8px; vertical-align: top; text-align: left; }}
video {{ width: 420px; max-width: 40vw; background: #000; }}
td p {{ margin: 4px 0; }}
.success {{ border-top: 4px solid #2e9e62; }}
.failure {{ border-top: 4px solid #cf4a40; }}
</style></head>
<body><h1>Evaluation on the rig</h1>
<pre>{table}</pre>
<p>Order fixed before the first trial: SHA-256 {sha}</p>
<table><tr><th>Pair</th>{head}</tr>
{rows}
</table></body></html>
"""
