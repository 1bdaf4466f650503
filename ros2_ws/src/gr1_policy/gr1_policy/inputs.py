"""The newest samples of each stream, and whether they may still be used. ROS-free.

Times are seconds: `stamp` on the node's clock (measurement), `arrival` on the steady clock. A sample must be
recent on both: a sender whose clock runs ahead, or a clock that stands still, must not make an old frame
look new.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from gr1_policy.frozen_camera import FrozenCameraDetector

CAMERAS = ("static", "wrist")
STREAMS = (*CAMERAS, "arm", "gripper")
KEPT = {"static": 8, "wrist": 8, "arm": 50, "gripper": 50}
"""Samples that are kept: frames to pair free-running cameras, the others for the arm's state at each frame.
"""
_LABELS = {"static": "static camera", "wrist": "wrist camera", "arm": "arm/pose", "gripper": "arm/gripper"}
_NEVER = float("-inf")


@dataclass(frozen=True)
class Sample:
    stamp: float
    arrival: float
    value: object

    def age(self, now: float, steady: float) -> float:
        """Seconds by the stricter of the two clocks."""
        return max(now - self.stamp, steady - self.arrival)


class Inputs:
    """Written by the executor's thread, read by the control and the watch thread.

    max_age: s for each of STREAMS, without the cameras that the rig does not have. max_skew: s that the two
    frames of one step may be apart.
    """

    def __init__(self, max_age: Mapping[str, float], max_skew: float):
        self._max_age, self._max_skew = dict(max_age), max_skew
        self._streams = tuple(stream for stream in STREAMS if stream in max_age)
        self._cameras = tuple(name for name in CAMERAS if name in max_age)
        self._samples: dict[str, deque[Sample]] = {
            stream: deque(maxlen=KEPT[stream]) for stream in self._streams
        }
        self._detectors = {name: FrozenCameraDetector() for name in self._cameras}
        self._refused: dict[str, tuple[float, str]] = {}
        self._arrived = threading.Condition()

    def add_sample(self, stream: str, stamp: float, arrival: float, value: object) -> None:
        """A sample. Values: a camera's u8[H, W, 3]; the arm's (xyz in m, quaternion xyzw); the gripper's
        last command, 0 .. 1.
        """
        if stream in CAMERAS:
            self._detectors[stream].add_frame(value, self._pose_at(stamp))
        with self._arrived:
            self._samples[stream].append(Sample(stamp, arrival, value))
            self._arrived.notify_all()

    def refuse_sample(self, stream: str, arrival: float, why: str) -> None:
        """A sample that cannot be used. Its stream is faulty until none has come for its maximum age."""
        with self._arrived:
            self._refused[stream] = (arrival, why)

    def newest(self) -> dict[str, Sample]:
        """The newest sample of each stream that has delivered."""
        with self._arrived:
            return {stream: samples[-1] for stream, samples in self._samples.items() if samples}

    def pair(self) -> dict[str, Sample]:
        """The newest frames of the cameras that are at most `max_skew` apart; empty if there are none."""
        with self._arrived:
            return self._pair()

    def step_input(self) -> dict[str, Sample]:
        """The input of a step: the pair, and arm and gripper at the time of its older frame; empty if there
        is no pair.

        Frames arrive later than poses. With the newest pose the hand would be ahead of its image, as in no
        dataset.
        """
        with self._arrived:
            if not (pair := self._pair()):
                return {}
            taken = min(sample.stamp for sample in pair.values())
            return pair | {stream: self._at(stream, taken) for stream in ("arm", "gripper")}

    def ages(self, now: float, steady: float) -> dict[str, float]:
        """Seconds by the stricter of the two clocks, for the streams that have delivered."""
        return {stream: sample.age(now, steady) for stream, sample in self.newest().items()}

    def fault(self, now: float, steady: float) -> str:
        """The first stream that must not be used and why; empty when all may be."""
        newest = self.newest()
        for stream in self._streams:
            if why := self._stream_fault(stream, newest.get(stream), now, steady):
                return f"{_LABELS[stream]}: {why}"
        if not self.pair():
            apart = 1e3 * abs(newest["static"].stamp - newest["wrist"].stamp)
            return (
                f"{_LABELS['static']} and {_LABELS['wrist']}: their newest frames are {apart:.0f} ms apart "
                f"and none of the last {KEPT['static']} are within {1e3 * self._max_skew:.0f} ms "
                "(max_skew_s): a camera is slow, or its clock is off"
            )
        return ""

    def await_new_pair(self, used: Mapping[str, float], seconds: float) -> bool:
        """Waits for a pair of frames that are both later than `used` (camera -> stamp); False if that takes
        too long.
        """
        with self._arrived:
            return self._arrived.wait_for(lambda: is_newer(self._pair(), used), seconds)

    def _stream_fault(self, stream: str, sample: Sample | None, now: float, steady: float) -> str:
        limit = self._max_age[stream]
        if stream in self._refused and steady - self._refused[stream][0] <= limit:
            return self._refused[stream][1]
        if sample is None:
            return "nothing received yet"
        age, ahead = sample.age(now, steady), sample.stamp - now
        if ahead > limit:
            return f"stamped {1e3 * ahead:.0f} ms in the future: sender and policy have different clocks"
        if age > limit:
            # Whole seconds, so that the text of a lasting fault does not change 100 times a second.
            much = f"for {age:.0f} s" if age >= 1 else f"within {1e3 * limit:.0f} ms"
            return f"nothing new {much}"
        return self._detectors[stream].fault if stream in CAMERAS else ""

    def _pair(self) -> dict[str, Sample]:
        pending = {name: list(self._samples[name]) for name in self._cameras}
        while all(pending.values()):
            last = {name: samples[-1] for name, samples in pending.items()}
            newest_first = sorted(last, key=lambda name: -last[name].stamp)
            later, earlier = newest_first[0], newest_first[-1]
            if last[later].stamp - last[earlier].stamp <= self._max_skew:
                return last
            # No older frame of the other camera can be nearer to this one.
            pending[later].pop()
        return {}

    def _pose_at(self, stamp: float):
        with self._arrived:
            return self._at("arm", stamp).value if self._samples["arm"] else None

    def _at(self, stream: str, stamp: float) -> Sample:
        """The newest sample measured by then, or the oldest that is kept."""
        samples = self._samples[stream]
        return next((sample for sample in reversed(samples) if sample.stamp <= stamp), samples[0])


def is_newer(pair: Mapping[str, Sample], used: Mapping[str, float]) -> bool:
    """Whether there is a pair, and all its frames are later than `used` (camera -> stamp)."""
    frames = {name: sample for name, sample in pair.items() if name in CAMERAS}
    return bool(frames) and all(one.stamp > used.get(name, _NEVER) for name, one in frames.items())
