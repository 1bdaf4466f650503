"""Recording of an evaluation for its video: states, predicted frames, instructions, outcomes. ROS-free.

Camera frames are not kept: the simulated cameras render the same ones from the states again. A minute takes
3 MB.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gr1_core import images
from gr1_core.rig import ROLES

LONGEST_S = 180.0
_EARLY = 0.1  # of a period: a state that is earlier by this much still counts for this period


@dataclass
class RecordedTrial:
    """One trial. task: the one whose success counts, empty for none. success: None while it runs and without
    an outcome.
    """

    instruction: str
    task: str
    success: bool | None = None


class Recording:
    """The last `longest` seconds, one state each `period` seconds. Used from any thread; times are seconds
    on the stamps' clock.

    ahead: seconds from the frame that a prediction was made from to the one that it predicts. note: for the
    video's caption.
    """

    def __init__(self, period: float, ahead: float, note: str = "", longest: float = LONGEST_S):
        self.period, self.ahead, self.note = period, ahead, note
        self.trials: list[RecordedTrial] = []
        kept = round(longest / period)
        self.states: deque[tuple[float, int, np.ndarray]] = deque(maxlen=kept)
        """Stamp, number of the trial, Twin.state()."""
        self._predicted: dict[str, deque[tuple[float, bytes]]] = {role: deque(maxlen=kept) for role in ROLES}
        self._lock, self._running = threading.Lock(), False

    def begin(self, instruction: str, task: str) -> None:
        with self._lock:
            self.trials.append(RecordedTrial(instruction, task))
            self._running = True

    def end(self, success: bool | None) -> None:
        with self._lock:
            self.trials[-1].success = success
            self._running = False

    def add_state(self, stamp: float, state: np.ndarray) -> None:
        with self._lock:
            if self._running and (not self.states or stamp - self.states[-1][0] > (1 - _EARLY) * self.period):
                self.states.append((stamp, len(self.trials) - 1, np.array(state)))

    def add_predicted(self, role: str, stamp: float, image: np.ndarray) -> None:
        """image: u8[S, S, 3], predicted from the frame of `stamp`."""
        with self._lock:
            self._predicted[role].append((stamp + self.ahead, images.encode_jpeg(image)))

    def predicted_for(self, role: str, stamp: float) -> np.ndarray | None:
        """The predicted frame of this camera for that time; None where there is none."""
        with self._lock:
            near = min(self._predicted[role], key=lambda one: abs(one[0] - stamp), default=(np.inf, b""))
        return images.decode(near[1]) if abs(near[0] - stamp) < 0.75 * self.period else None

    def save(self, file: Path) -> None:
        """One .npz, from which `gr1 video` draws."""
        with self._lock:
            about = {
                "period": self.period,
                "ahead": self.ahead,
                "note": self.note,
                "trials": [asdict(trial) for trial in self.trials],
            }
            columns = {"about": json.dumps(about)}
            for name, column in zip(("stamps", "numbers", "states"), zip(*self.states)):
                columns[name] = np.array(column)
            for role, frames in self._predicted.items():
                columns[f"{role}_stamps"] = np.array([stamp for stamp, _ in frames])
                columns[f"{role}_sizes"] = np.array([len(data) for _, data in frames])
                columns[f"{role}_bytes"] = np.frombuffer(b"".join(data for _, data in frames), np.uint8)
        np.savez(file, **columns)

    @classmethod
    def load(cls, file: Path) -> Recording:
        with np.load(file) as columns:
            about = json.loads(str(columns["about"]))
            most = max(len(columns[name]) for name in ("stamps", *(f"{role}_stamps" for role in ROLES)))
            made = cls(about["period"], about["ahead"], about["note"], about["period"] * most)
            made.trials = [RecordedTrial(**trial) for trial in about["trials"]]
            made.states.extend(
                zip(columns["stamps"].tolist(), columns["numbers"].tolist(), columns["states"])
            )
            for role, frames in made._predicted.items():
                ends = np.cumsum(columns[f"{role}_sizes"]).tolist()
                data = columns[f"{role}_bytes"].tobytes()
                frames.extend(
                    zip(
                        columns[f"{role}_stamps"].tolist(),
                        (data[start:end] for start, end in zip([0, *ends], ends)),
                    )
                )
        return made
