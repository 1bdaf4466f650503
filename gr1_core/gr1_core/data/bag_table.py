"""The rows of the tables of `gr1 bags list` and `gr1 bags show`, as plain values."""

from __future__ import annotations

from pathlib import Path

from gr1_core.data.bag import Bag, BagError, find_candidates
from gr1_core.data.metadata import count_lost
from gr1_core.data.verification import content_problems, lost_messages, slow_topics, stream_statistics
from gr1_core.plural import plural


def bag_row(folder: Path, complete: bool) -> dict:
    """{name, folder, instruction, outcome, seconds, mb, operator, problems, damaged} of one bag.

    A bag that cannot be read gives a row with the problem, not an error.
    """
    files = folder.iterdir() if folder.is_dir() else ()  # a link that leads nowhere is no folder
    size = sum(path.stat().st_size for path in files if path.is_file())
    empty = {
        "name": folder.name,
        "folder": str(folder),
        "instruction": "",
        "outcome": "",
        "seconds": 0.0,
        "mb": size * 1e-6,
        "operator": "",
        "problems": [],
    }
    empty |= {"damaged": False}
    if not complete:
        return empty | {
            "outcome": "unfinished",
            "problems": ["cut off, or still being recorded: gr1 bags recover"],
        }
    try:
        bag = Bag(folder)
        damaged = not bag.closed
        problems = ["damaged: gr1 bags verify"] if damaged else []
        problems += [problem.partition(": ")[2] for problem in content_problems(bag)]
        problems += [
            f"{plural(count, 'message')} lost ({name})" for name, count in lost_messages(bag).items()
        ] + [f"slow: {name}" for name in slow_topics(bag)]
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


def bag_rows(root: str | Path) -> list[dict]:
    """One row for each bag at or below `root`, complete or not, sorted by folder."""
    return [bag_row(folder, complete) for folder, complete in sorted(find_candidates(root))]


def topic_rows(bag: Bag) -> list[dict]:
    """{topic, type, expected, received, lost, gaps, longest_gap_ms, hz} of each topic of a bag."""
    return [
        {
            "topic": name,
            "type": entry["type"],
            "expected": entry["expected"],
            "received": entry["received"],
            "lost": count_lost(entry),
            "gaps": entry["gaps"],
            "longest_gap_ms": entry["longest_gap_ms"],
            "hz": (bag.counts[name] - 1) / bag.duration_s
            if bag.counts[name] > 1 and bag.duration_s > 0
            else 0.0,
        }
        for name, entry in stream_statistics(bag).items()
    ]
