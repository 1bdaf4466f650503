"""The newest sample of each stream, and the test whether it may still be used. No ROS import.

Times are seconds: `stamp` on the node's clock (when it was measured), `arrival` on the steady clock (when it came here). A sample
must be young on both: a sender whose clock runs ahead, or a clock that stands still, must not make an old frame look new.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

CAMERAS = ("static", "wrist")
STREAMS = (*CAMERAS, "arm", "gripper")
_LABELS = {"static": "static camera", "wrist": "wrist camera", "arm": "arm/pose", "gripper": "arm/gripper"}


@dataclass(frozen=True)
class Sample:
    stamp: float
    arrival: float
    value: object


class Inputs:
    """Written by the executor's thread, read by the control and the watchdog thread.

    max_age: seconds for each of STREAMS.
    """

    def __init__(self, max_age: Mapping[str, float]):
        self._max_age = dict(max_age)
        self._samples: dict[str, Sample] = {}
        self._came = threading.Condition()

    def put(self, stream: str, stamp: float, arrival: float, value: object) -> None:
        with self._came:
            self._samples[stream] = Sample(stamp, arrival, value)
            self._came.notify_all()

    def newest(self) -> dict[str, Sample]:
        with self._came:
            return dict(self._samples)

    def ages(self, now: float, steady: float) -> dict[str, float]:
        """Seconds by the stricter of the two clocks, for the streams that have been heard."""
        return {stream: _age(sample, now, steady) for stream, sample in self.newest().items()}

    def fault(self, now: float, steady: float) -> str:
        """The first stream that must not be used and why; empty when all may be."""
        samples = self.newest()
        for stream in STREAMS:
            if stream not in samples:
                return f"{_LABELS[stream]}: nothing received yet"
            age, ahead, limit = _age(samples[stream], now, steady), samples[stream].stamp - now, self._max_age[stream]
            if ahead > limit:
                return f"{_LABELS[stream]}: stamped {1e3 * ahead:.0f} ms in the future: sender and policy have different clocks"
            if age > limit:
                # Whole seconds, so that the text of a lasting fault does not change a hundred times a second.
                much = f"for {age:.0f} s" if age >= 1 else f"within {1e3 * limit:.0f} ms"
                return f"{_LABELS[stream]}: nothing new {much}"
        return ""

    def await_new_frames(self, used: Mapping[str, float], seconds: float) -> bool:
        """Waits until both cameras have a frame with a later stamp than `used` (stream -> stamp); False if that takes too long."""
        with self._came:
            return self._came.wait_for(lambda: self._all_newer(used), seconds)

    def _all_newer(self, used: Mapping[str, float]) -> bool:
        return all(name in self._samples and self._samples[name].stamp > used.get(name, float("-inf")) for name in CAMERAS)


def _age(sample: Sample, now: float, steady: float) -> float:
    return max(now - sample.stamp, steady - sample.arrival)
