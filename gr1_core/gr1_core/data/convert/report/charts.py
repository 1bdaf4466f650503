"""Small inline SVG charts: histogram, bars, projected paths. Colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np


def histogram(
    values: np.ndarray, limit: float | None = None, bins: int = 41, width: int = 340, height: int = 96
) -> str:
    """Counts on a square-root scale, so that rare values stay visible.

    With a limit: around 0, dashed lines at -limit and +limit.
    """
    low, high = float(values.min()), float(values.max())
    if limit:
        high = 1.05 * max(-low, high, min(limit, 1.0))
        low = -high
    elif high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(values, bins, (low, high))
    tall = np.sqrt(counts / max(counts.max(), 1)) * (height - 18)
    step = width / bins
    bars = [
        f'<rect x="{index * step:.1f}" y="{height - 16 - tall[index]:.1f}" '
        f'width="{step - 0.8:.1f}" height="{tall[index]:.1f}">'
        f"<title>{edges[index]:.3g} to {edges[index + 1]:.3g}: {counts[index]}</title></rect>"
        for index in np.flatnonzero(counts)
    ]
    marks = []
    for at in (-limit, limit) if limit else ():
        if low <= at <= high:
            x = (at - low) / (high - low) * width
            marks.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 16}"/>')
    marks.append(f'<line class="axis" x1="0" x2="{width}" y1="{height - 15.5}" y2="{height - 15.5}"/>')
    ends = ((0, "start", low), (width / 2, "middle", (low + high) / 2), (width, "end", high))
    texts = [
        f'<text x="{x}" y="{height - 2}" text-anchor="{anchor}">{value:.3g}</text>'
        for x, anchor, value in ends
    ]
    return _svg(width, height, [*bars, *marks, *texts], "histogram")


def bars(counts: Sequence[tuple[str, int]]) -> str:
    """Names with bars, the longest count as wide as the column."""
    most = max(count for _, count in counts)
    lines = [
        f'<div class="bar"><span class="name" title="{escape(name)}">{escape(name) or "(none)"}</span>'
        f'<span class="track"><span style="width:{100 * count / most:.1f}%"></span></span>'
        f'<span class="count">{count}</span></div>'
        for name, count in counts
    ]
    return f'<div class="bars">{"".join(lines)}</div>'


def paths(
    lines: Sequence[np.ndarray], box: Sequence[Sequence[float]], names: tuple[str, str], width: int = 420
) -> str:
    """Paths f[k, 2] (right, up) with a dot at the end, and a dashed box given by two corners; equal scales on
    both axes.
    """
    low = np.min([*(line.min(0) for line in lines), *box], 0)
    high = np.max([*(line.max(0) for line in lines), *box], 0)
    margin, scale = 16.0, (width - 32.0) / max(high[0] - low[0], 1e-6)
    height = int((high[1] - low[1]) * scale + 2 * margin)

    def place(point) -> tuple[float, float]:
        return margin + (point[0] - low[0]) * scale, height - margin - (point[1] - low[1]) * scale

    (x0, y0), (x1, y1) = map(place, box)
    corner = f'x="{min(x0, x1):.1f}" y="{min(y0, y1):.1f}"'
    drawn = [f'<rect class="box" {corner} width="{abs(x1 - x0):.1f}" height="{abs(y1 - y0):.1f}"/>']
    for line in lines:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, line))
        x, y = place(line[-1])
        drawn.append(f'<polyline points="{points}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>')
    drawn.append(
        f'<text x="{width - 4}" y="{height - 3}" text-anchor="end">{names[0]}</text>'
        f'<text x="3" y="11">{names[1]}</text>'
    )
    return _svg(width, height, drawn, "paths")


def _svg(width: int, height: int, parts: Sequence[str], kind: str) -> str:
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'
