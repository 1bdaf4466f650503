"""Summary of the bags that a run has recorded: outcomes, losses, the next command. ROS-free."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from gr1_core.data import bag as bags
from gr1_core.data import metadata


class BagSummary:
    """Made before a run; `summary` counts the bags recorded since."""

    def __init__(self, root: Path):
        self.root = root
        self._bags_before = {folder for folder, whole in self._bags_now() if whole}

    def summary(self, shown: str) -> str:
        """shown: the folder as it is printed. Lost messages are named with their topics; so are unfinished
        recordings.
        """
        now = [(folder, whole) for folder, whole in self._bags_now() if folder not in self._bags_before]
        cut = [folder.name for folder, whole in now if not whole]
        rest = f"\ncut off: {', '.join(cut)}; gr1 bags recover {shown} saves what is there" if cut else ""
        found = [bags.Bag(folder) for folder, whole in now if whole]
        if not found:
            return f"no bag was recorded in {shown}{rest}"
        outcomes = Counter(bag.outcome for bag in found)
        counted = ", ".join(
            f"{outcomes[outcome]} {outcome}" for outcome in bags.OUTCOMES if outcomes[outcome]
        )
        lines = [
            f"{len(found)} bag{'s' if len(found) > 1 else ''} in {shown}: {counted}; {_missing(found)}{rest}"
        ]
        name = self.root.name
        return "\n".join(
            [*lines, f"next: gr1 convert bags {shown} --out {'data' if name == 'bags' else f'{name}_data'}"]
        )

    def _bags_now(self) -> list[tuple[Path, bool]]:
        return sorted(bags.find_candidates(self.root)) if self.root.is_dir() else []


def _missing(found: list[bags.Bag]) -> str:
    lost, gaps = Counter(), Counter()
    for bag in found:
        for topic, stream in json.loads(bag.labels["topics"]).items():
            lost[topic] += metadata.count_lost(stream)
            gaps[topic] += stream["gaps"]
    return f"{_count_by_topic(lost, 'messages lost')}, {_count_by_topic(gaps, 'gaps')}"


def _count_by_topic(numbers: Counter, what: str) -> str:
    topics = ", ".join(f"{topic} {number}" for topic, number in numbers.most_common() if number)
    return f"{numbers.total()} {what} ({topics})" if topics else f"no {what}"
