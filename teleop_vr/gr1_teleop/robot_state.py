"""The running robot as this node hears it: what the pages are told (`pages.Watch`), and what the clutch must know. No ROS.

Written by the node's executor, read by the server's threads and the control loop: each fact is one attribute, replaced as a whole.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from gr1_robot.arm.backend import Pose
from gr1_robot.arm.gate import STOPPED
from gr1_teleop.topics import Topic

PICTURE_S = 1.0
"""An older picture is not shown: a camera that has stopped must look like it."""
RECORDER_S = 3.0
"""A recorder that has said nothing for so long (it does twice a second) is gone."""


def closure_of(fingers: Mapping[str, float]) -> float:
    """The closure that the fingers were last told, or that they have where nobody has told them anything: an arm node that has just begun
    may hold something all the same. fingers: the topic arm/gripper; 0 open .. 1 closed, NaN for not known."""
    command = fingers.get("closure_command", math.nan)
    return command if math.isfinite(command) else fingers.get("closure", math.nan)


class Dated(NamedTuple):
    """Something heard; at: s on the steady clock."""

    value: object
    at: float


class Robot:
    """max_age: s that the arm's pose and its fingers' command may be old. topics: whose coming and going is told."""

    def __init__(self, max_age: float, topics: Iterable[Topic], clock: Callable[[], float] = time.monotonic):
        self.instruction = ""
        self._max_age, self._clock = max_age, clock
        self._topics = {topic.name: topic for topic in topics}
        self._pose = self._closure = self._gate = self._recorder = self._recording = None
        self._pictures: dict[str, Dated] = {}

    # What the node hears

    def heard(self, topic: str) -> None:
        self._topics[topic].tick(self._clock())

    def at(self, pose: Pose, made: float) -> None:
        """Where the arm was asked to be; made: s on the steady clock, when that was so."""
        self._pose = Dated(pose, made)

    def told(self, closure: float, made: float) -> None:
        """What the fingers were last told, 0 open .. 1 closed; NaN for nothing yet."""
        self._closure = Dated(closure, made)

    def saw(self, role: str, jpeg: bytes) -> None:
        self._pictures = self._pictures | {role: Dated(jpeg, self._clock())}

    def gate(self, message: str, values: Mapping[str, str]) -> None:
        """The status `arm: gate`."""
        self._gate = Dated(dict(values) | {"message": message}, self._clock())

    def recorder(self, state: str) -> None:
        """The topic recorder/state."""
        self._recorder = Dated(json.loads(state), self._clock())

    def recording(self, trouble: str) -> None:
        """What the status `recorder: episode` complains about, "" for nothing."""
        self._recording = Dated(trouble, self._clock())

    # What the control loop asks

    def pose(self, now: float) -> Pose | None:
        """Where the arm is asked to be, None where that is not known of this moment."""
        return self._of_now(self._pose, now)

    def closure(self, now: float) -> float | None:
        return self._of_now(self._closure, now)

    @property
    def blocked(self) -> str:
        """Why the arm cannot be moved, "" if it can: the gate is latched."""
        gate = self._gate
        return gate.value["message"] if gate and gate.value.get("state") == STOPPED else ""

    # What the pages ask

    def pictures(self) -> dict[str, bytes]:
        now = self._clock()
        return {
            role: picture.value for role, picture in self._pictures.items() if now - picture.at <= PICTURE_S
        }

    def status(self) -> dict:
        now = self._clock()
        rows = [topic.row(now) for topic in self._topics.values()]
        recorder, warnings = self.recorder_state(), []
        if self._recorder and not recorder:
            warnings.append("the recorder has fallen silent: nothing can be begun or ended")
        if recorder.get("state") == "recording" and self._recording and self._recording.value:
            warnings.append(self._recording.value)
        return {
            "gate": self._gate.value if self._gate else {},
            "recorder": recorder,
            "topics": rows,
            "instruction": self.instruction,
            "warnings": warnings,
        }

    def recorder_state(self) -> dict:
        """The topic recorder/state, {} while no recorder is heard."""
        return (
            self._recorder.value if self._recorder and self._clock() - self._recorder.at <= RECORDER_S else {}
        )

    def _of_now(self, dated: Dated | None, now: float):
        return dated.value if dated and now - dated.at <= self._max_age else None
