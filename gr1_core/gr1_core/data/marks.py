"""Marks of a bag: trim, exclusion, corrected labels.

They are labels in metadata.yaml. The recording stays as it is, and every mark can be taken back.

Times are seconds since the recording's beginning, the time axis of the desk's player and of `gr1 bags video`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcap.reader import make_reader

from gr1_core.data import metadata
from gr1_core.data.bag import DAMAGE_ERRORS, Bag, BagError
from gr1_core.data.bag_writer import LABELS_RECORD

DEFAULT_REASON = "marked by hand"


@dataclass(frozen=True)
class Marks:
    """trim_start_s, trim_end_s: the kept span, s; None: to the end.

    excluded: why the bag is left out; "": it is not.
    """

    trim_start_s: float = 0.0
    trim_end_s: float | None = None
    excluded: str = ""

    @property
    def trimmed(self) -> bool:
        return self.trim_start_s > 0.0 or self.trim_end_s is not None

    def __str__(self) -> str:
        parts = []
        if self.trimmed:
            end = "the end" if self.trim_end_s is None else f"{self.trim_end_s:.2f} s"
            parts.append(f"trimmed to {self.trim_start_s:.2f} s .. {end}")
        if self.excluded:
            parts.append(f"excluded: {self.excluded}")
        return "; ".join(parts) or "no marks"


def marks_of(labels: Mapping[str, str], name: str = "bag") -> Marks:
    """The marks among a bag's labels. Raises BagError, with the bag's `name`, for a mark that is no time."""
    start = _seconds(labels.get("trim_start", ""), "trim_start", name)
    end = _seconds(labels.get("trim_end", ""), "trim_end", name)
    if end is not None and end <= (start or 0.0):
        raise BagError(f"{name}: the mark trim_end, {end:g} s, is not after trim_start, {start or 0.0:g} s")
    return Marks(start or 0.0, end, labels.get("excluded", "").strip())


def trim_bag(folder: str | Path, start_s: float | None = None, end_s: float | None = None) -> Marks:
    """Keeps only a span of the recording; None leaves that end as it is marked.

    Raises BagError for a span that is empty or outside of the recording.
    """
    bag = Bag(folder)
    old = marks_of(bag.labels, bag.name)
    start = old.trim_start_s if start_s is None else start_s
    end = old.trim_end_s if end_s is None else end_s
    for name, value in (("start", start), ("end", end)):
        if value is not None and not (math.isfinite(value) and 0.0 <= value <= bag.duration_s + 1e-6):
            raise BagError(
                f"{bag.name}: trim {name} is {value:g} s: the recording has 0 .. {bag.duration_s:.2f} s"
            )
    if (bag.duration_s if end is None else end) <= start:
        kept = f"{start:g} .. {bag.duration_s if end is None else end:g} s"
        raise BagError(f"{bag.name}: the span {kept} is empty: the end must come after the start")
    if end is not None and end >= bag.duration_s - 1e-6:
        end = None
    marks = {"trim_start": f"{start:.3f}" if start > 0 else None, "trim_end": end and f"{end:.3f}"}
    metadata.change_labels(bag.folder, marks)
    return marks_of(Bag(folder).labels, bag.name)


def exclude_bag(folder: str | Path, why: str = DEFAULT_REASON) -> Marks:
    """Leaves the bag out of every conversion. Raises BagError."""
    bag = Bag(folder)
    metadata.change_labels(bag.folder, {"excluded": why.strip() or DEFAULT_REASON})
    return marks_of(Bag(folder).labels, bag.name)


def keep_bag(folder: str | Path, labels: bool = False) -> Marks:
    """Removes trim and exclusion; with `labels` also restores the recorded labels. Raises BagError."""
    bag = Bag(folder)
    changes: dict[str, str | None] = dict.fromkeys(metadata.MARKS)
    if labels:
        recorded = recorded_labels(bag)
        changes |= {name: recorded[name] for name in metadata.CHANGEABLE if name in recorded}
    metadata.change_labels(bag.folder, changes)
    return marks_of(Bag(folder).labels, bag.name)


def recorded_labels(bag: Bag) -> dict[str, str]:
    """The labels at the end of the recording, from the .mcap file, which no mark changes. Raises BagError."""
    try:
        with open(bag.path, "rb") as stream:
            found = [
                dict(record.metadata)
                for record in make_reader(stream).iter_metadata()
                if record.name == LABELS_RECORD
            ]
    except DAMAGE_ERRORS as error:
        raise BagError(f"{bag.path} is damaged ({type(error).__name__}: {error})") from error
    if not found:
        raise BagError(
            f"{bag.folder}: the recording holds no labels of its own; `gr1 bags relabel` sets them"
        )
    return found[-1]


def changed_labels(bag: Bag) -> dict[str, tuple[str, str]]:
    """Label -> (recorded, present) of those that were changed after the recording. Raises BagError."""
    recorded = recorded_labels(bag)
    return {
        name: (recorded.get(name, ""), bag.labels.get(name, ""))
        for name in metadata.CHANGEABLE
        if recorded.get(name, "") != bag.labels.get(name, "")
    }


def _seconds(text: str, mark: str, name: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0.0):
        raise BagError(f"{name}: the mark {mark} is {metadata.shorten(text)}, expected seconds from 0 on")
    return value
