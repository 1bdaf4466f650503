"""Bags as rows: what `gr1 bags list` and `gr1 bags show` print, as plain values."""

from __future__ import annotations

from pathlib import Path

from gr1_core.data.bag import Bag, BagError, candidates
from gr1_core.data.metadata import lost
from gr1_core.data.verification import losses, slow, streams


def row(folder: Path, whole: bool) -> dict:
    """{name, instruction, outcome, seconds, mb, operator, problems, damaged} of one bag; what cannot be read is a problem, not an error."""
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    empty = {
        "name": folder.name,
        "instruction": "",
        "outcome": "",
        "seconds": 0.0,
        "mb": size * 1e-6,
        "operator": "",
        "problems": [],
    }
    empty |= {"damaged": False}
    if not whole:
        return empty | {"outcome": "unfinished", "problems": ["cut off, or still recorded: gr1 bags recover"]}
    try:
        bag = Bag(folder)
        damaged = not bag.closed
        problems = ["damaged: gr1 bags verify"] if damaged else []
        problems += [f"{count} messages lost ({name})" for name, count in losses(bag).items()] + [
            f"slow: {name}" for name in slow(bag)
        ]
    except (BagError, OSError) as error:
        return empty | {"problems": [str(error)]}
    return empty | {
        "instruction": bag.instruction,
        "outcome": bag.outcome,
        "seconds": bag.duration_s,
        "operator": bag.labels.get("operator", ""),
        "problems": problems,
        "damaged": damaged,
    }


def rows(root: str | Path) -> list[dict]:
    """One row for each bag at or below `root`, whole or not, sorted by folder."""
    return [row(folder, whole) for folder, whole in sorted(candidates(root))]


def topics(bag: Bag) -> list[dict]:
    """{topic, type, expected, received, lost, gaps, longest_gap_ms, hz} of each topic of a bag."""
    return [
        {
            "topic": name,
            "type": entry["type"],
            "expected": entry["expected"],
            "received": entry["received"],
            "lost": lost(entry),
            "gaps": entry["gaps"],
            "longest_gap_ms": entry["longest_gap_ms"],
            "hz": (bag.counts[name] - 1) / bag.duration_s
            if bag.counts[name] > 1 and bag.duration_s > 0
            else 0.0,
        }
        for name, entry in streams(bag).items()
    ]
