"""Several datasets as one source, e.g. demonstrations of several days, or of the expert and of DAgger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gr1_core.data.convert.sources.lerobot import LeRobotSource
from gr1_core.data.convert.sources.source import Episode, Skipped, SourceError, Unit


@dataclass
class JoinedSource:
    """The episodes of the first dataset, then those of the next.

    Raises SourceError for datasets that do not fit together.

    Names begin with the number of the dataset, from 1, so that they are unique.
    """

    sources: Sequence[LeRobotSource]

    def __post_init__(self):
        first = self.sources[0]
        roots = [source.root.resolve() for source in self.sources]
        if twice := next((root for root in roots if roots.count(root) > 1), None):
            raise SourceError(f"{twice} is given twice: its episodes would count double")
        for other in self.sources[1:]:
            for name in ("kind", "fps", "shapes", "rig"):
                here, there = getattr(first, name), getattr(other, name)
                if name == "rig" and here and there:
                    here.require_same(there, str(other.root))
                elif here != there:
                    label = "frames per second" if name == "fps" else name
                    raise SourceError(
                        f"{other.root} cannot be joined with {first.root}: {label} {there} there, {here} here"
                    )
        self.kind, self.origin, self.fps, self.rig, self.shapes = (
            first.kind,
            first.origin,
            first.fps,
            first.rig,
            first.shapes,
        )
        self.settings = {"joined": [source.settings for source in self.sources]}

    def units(self) -> list[Unit]:
        return [
            replace(unit, key=f"{place:02d}_{unit.key}", payload=(place, unit))
            for place, source in enumerate(self.sources, 1)
            for unit in source.units()
        ]

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        place, of_source = unit.payload
        for found in self.sources[place - 1].read(of_source):
            yield replace(found, name=f"{place:02d}_{found.name}")
