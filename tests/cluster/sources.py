"""Sources of conversions that are hard on their workers."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from gr1_core.data.convert.sources.source import Unit
from tests.data.synthetic import Synthetic


@dataclass
class Deadly(Synthetic):
    """Kills its process in the middle of unit `deadly`, as often as `deaths` says.

    folder: gets a file for each reading of a unit, so that readings of all processes can be counted.
    """

    folder: Path = Path()
    deadly: int = 1
    deaths: int = 1

    def read(self, unit: Unit):
        before = self.readings(unit.key)
        (self.folder / f"{unit.key}.{before}.{os.getpid()}").touch()
        for number, episode in enumerate(super().read(unit)):
            yield episode
            if number == 0 and unit.payload == self.deadly and before < self.deaths:
                os.kill(os.getpid(), signal.SIGKILL)

    def readings(self, key: str) -> int:
        return len(list(self.folder.glob(f"{key}.*")))
