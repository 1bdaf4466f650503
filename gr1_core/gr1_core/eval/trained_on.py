"""Which recordings a checkpoint was trained on: a replay over them says nothing about new ones."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from gr1_core import pretrained
from gr1_core.data.bag import Bag

TRAINING, SOURCES = "training.json", Path("meta") / "sources.jsonl"


def split(checkpoint: str | Path, bags: Iterable[Bag]) -> tuple[list[Bag], list[Bag], str]:
    """-> bags that the checkpoint was not trained on, those that it was, why that is not known (or empty).

    A bag is told by its name and the time of its start. Where the dataset of the training is not at hand, all
    bags count as new.
    """
    bags = list(bags)
    known, why = _recordings(pretrained.resolve(checkpoint))
    trained = [bag for bag in bags if _identity(bag.name, bag.labels.get("started", "")) in known]
    return [bag for bag in bags if bag not in trained], trained, why


def _recordings(folder: Path) -> tuple[set[tuple[str, str]], str]:
    file = folder / TRAINING
    if not file.is_file():
        return set(), f"{folder} does not say what it was trained on"
    data = json.loads(file.read_text()).get("data") or {}
    root = (data.get("train") or {}).get("root")
    if not root or not (Path(root) / SOURCES).is_file():
        return set(), f"the dataset {root} that it was trained on is not here"
    held = data.get("held_out") or {}
    held_out = set(held.get("episodes", ())) if held.get("root") == root else set()
    rows = map(json.loads, (Path(root) / SOURCES).read_text().splitlines())
    return {
        _identity(row.get("name", ""), row.get("started", ""))
        for row in rows
        if row.get("episode_index") not in held_out
    }, ""


def _identity(name: str, started: str) -> tuple[str, str]:
    return name, started[:19]  # to the second: writers differ in what follows
