"""How much of a source a conversion keeps, and what the rest was lost to."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gr1_core.data.convert.sources.source import Episode, Skipped


class KeptShare:
    """Add every converted and skipped episode. What options leave out does not count as lost."""

    def __init__(self):
        self._steps = self._there = self._episodes = self._unknown = self._skipped = 0
        self._lost: Counter[str] = Counter()
        self._reasons_of_unknown: Counter[str] = Counter()

    def add(self, item: Episode | Skipped, frames: int = 0) -> None:
        """frames: of a converted episode."""
        if isinstance(item, Skipped):
            if item.intended or item.steps == 0:
                return
            if item.steps is None:
                self._unknown += 1
                self._reasons_of_unknown[item.reason] += 1
            else:
                self._skipped += item.steps
                self._lost[item.reason] += item.steps
            return
        recorded = item.info.get("recorded_steps", frames) - item.info.get("trimmed_steps", 0)
        there = max(recorded, frames)
        self._episodes += 1
        self._steps += frames
        self._there += there
        if there > frames:
            self._lost[next(iter(item.info.get("problems", ())), "cut")] += there - frames

    def to_dict(self) -> dict[str, Any]:
        """steps: kept. of: that were there; a skipped episode of unknown length counts as long as the
        converted ones. reason: what most of the rest was lost to, or "".
        """
        usual = self._there / self._episodes if self._episodes else 0.0
        lost = self._lost.copy()
        for reason, count in self._reasons_of_unknown.items():
            lost[reason] += round(count * usual)
        of = self._there + self._skipped + round(self._unknown * usual)
        return {"steps": self._steps, "of": of, "reason": lost.most_common(1)[0][0] if lost else ""}
