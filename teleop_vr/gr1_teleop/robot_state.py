"""State of the robot as received by the node: for the pages (`pages.RobotView`) and for the clutch. No ROS.

Written by the node's executor; read by the server's threads and the control loop. Each value is one attribute
that is replaced as a whole, so no lock is needed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from gr1_common.conventions import STOPPED
from gr1_core.pose import Pose
from gr1_teleop.topic_monitor import TopicMonitor

IMAGE_MAX_AGE_S = 1.0
"""An older image is not shown, so that a stopped camera is visible as such."""
POLICY_TIMEOUT_S, WANTED_S = 3.0, 5.0
"""A policy that has been silent for this long is gone. Predicted frames are wanted for this long after a
page has asked for one."""
EVALUATION_TIMEOUT_S = 3.0
"""An evaluation that has been silent for this long is gone; it publishes its state once a second. It loads
checkpoints for longer than that.
"""
LOADING_TIMEOUT_S = 300.0
RECORDER_TIMEOUT_S = 3.0
"""A recorder that has been silent for this long is gone; it publishes its state twice a second."""


def closure_of(gripper: Mapping[str, float]) -> float:
    """The last commanded closure of the gripper, or its measured closure if no command has been sent since
    the arm node started (the gripper may hold an object all the same). gripper: values of arm/gripper by
    name; 0 open .. 1 closed, NaN for unknown."""
    command = gripper.get("closure_command", math.nan)
    return command if math.isfinite(command) else gripper.get("closure", math.nan)


class Stamped(NamedTuple):
    """A value with its time; at: s on the steady clock."""

    value: object
    at: float


class RobotState:
    """max_age: maximum age of the arm's pose and of the gripper's closure, s. topics: topics to monitor."""

    def __init__(
        self, max_age: float, topics: Iterable[TopicMonitor], clock: Callable[[], float] = time.monotonic
    ):
        self.instruction = ""
        self._max_age, self._clock = max_age, clock
        self._topics = {topic.name: topic for topic in topics}
        self._pose = self._closure = self._gate = self._recorder = self._recording = None
        self._images: dict[str, Stamped] = {}
        self._policy: dict[str, Stamped] = {}
        self._wanted_at = -math.inf
        self._call: Stamped | None = None
        self._call_image = self._start_scene = b""
        self._evaluation: Stamped | None = None
        self.confirm_call: Callable[[], tuple[bool, str]] = lambda: (False, "no policy is running")
        """Answers the policy's call; may take seconds."""
        self.judge: Callable[[str], tuple[bool, str]] = lambda verdict: (False, "no evaluation is running")
        """Gives a verdict on the running trial of an evaluation."""

    # Inputs from the node

    def on_message(self, topic: str) -> None:
        self._topics[topic].on_message(self._clock())

    def set_pose(self, pose: Pose, stamp: float) -> None:
        """The arm's commanded pose; stamp: its time, s on the steady clock."""
        self._pose = Stamped(pose, stamp)

    def set_closure(self, closure: float, stamp: float) -> None:
        """The gripper's closure (see `closure_of`); stamp: its time, s on the steady clock."""
        self._closure = Stamped(closure, stamp)

    def set_image(self, role: str, jpeg: bytes) -> None:
        self._images = self._images | {role: Stamped(jpeg, self._clock())}

    def set_gate(self, message: str, values: Mapping[str, str]) -> None:
        """The status `arm: gate`."""
        self._gate = Stamped(dict(values) | {"message": message}, self._clock())

    def set_recorder(self, state: str) -> None:
        """The topic recorder/state."""
        self._recorder = Stamped(json.loads(state), self._clock())

    def set_policy(self, subject: str, level: int, message: str, values: Mapping[str, str]) -> None:
        """A status of the policy node, subject: "inputs", "step" or "prediction"; level: 0 is OK."""
        known = {"level": level, "message": message, "values": dict(values)}
        self._policy = self._policy | {subject: Stamped(known, self._clock())}

    def set_call(self, call: dict) -> None:
        """A message of policy/call; an open one comes once a second."""
        self._call = Stamped(call, self._clock()) if call.get("state") == "calling" else None

    def set_call_image(self, jpeg: bytes) -> None:
        """What the policy calls for: the predicted frame beside the real one."""
        self._call_image = jpeg

    def set_evaluation(self, state: dict) -> None:
        """A message of evaluation/state."""
        self._evaluation = Stamped(state, self._clock())

    def set_start_scene(self, jpeg: bytes) -> None:
        """The start of the pair's first trial, to lie over the static camera; empty: none."""
        self._start_scene = jpeg

    @property
    def evaluation(self) -> dict:
        """The running evaluation's state, {} without one."""
        known = self._evaluation
        if not known or known.value["phase"] == "over":
            return {}
        patience = LOADING_TIMEOUT_S if known.value["phase"] == "load" else EVALUATION_TIMEOUT_S
        return known.value if self._clock() - known.at <= patience else {}

    @property
    def predicted_wanted(self) -> bool:
        """Whether a page shows the policy's predicted frames."""
        return self._clock() - self._wanted_at < WANTED_S

    def set_recording_problem(self, problem: str) -> None:
        """The message of the status `recorder: episode` if its level is not OK, else ""."""
        self._recording = Stamped(problem, self._clock())

    # Queries of the control loop

    def pose(self, now: float) -> Pose | None:
        """The commanded pose, or None if it is unknown or too old."""
        return self._if_fresh(self._pose, now)

    def closure(self, now: float) -> float | None:
        return self._if_fresh(self._closure, now)

    @property
    def blocked(self) -> str:
        """Why the gate is latched, or "" if the arm can be moved."""
        gate = self._gate
        return gate.value["message"] if gate and gate.value.get("state") == STOPPED else ""

    # Queries of the pages

    def camera_images(self) -> dict[str, bytes]:
        now = self._clock()
        fresh = {
            role: image.value for role, image in self._images.items() if now - image.at <= IMAGE_MAX_AGE_S
        }
        stills = {
            "call": self._call_image if self._open_call(now) else b"",
            "start_scene": self._start_scene if self.evaluation.get("overlay") else b"",
        }
        return fresh | {name: image for name, image in stills.items() if image}

    def status(self) -> dict:
        now = self._clock()
        rows = [topic.status(now) for topic in self._topics.values()]
        recorder, warnings = self.recorder_state(), []
        if call := self._open_call(now):
            warnings.append(f"the policy calls, grip to take over or confirm: {call['reason']}")
        if self._recorder and not recorder:
            warnings.append("the recorder does not respond: episodes cannot be started or ended")
        if recorder.get("state") == "recording" and self._recording and self._recording.value:
            # A topic that is monitored here has one figure, that of `topics`.
            parts = self._recording.value.split("; ")
            warnings += [part for part in parts if part.partition(":")[0] not in self._topics]
        return {
            "policy": self._policy_status(now),
            "gate": self._gate.value if self._gate else {},
            "recorder": recorder,
            "topics": rows,
            "instruction": self.instruction,
            "warnings": warnings,
            **({"evaluation": self.evaluation} if self.evaluation else {}),
        }

    def want_predicted(self) -> None:
        self._wanted_at = self._clock()

    def _policy_status(self, now: float) -> dict:
        fresh = {
            subject: status.value
            for subject, status in self._policy.items()
            if now - status.at <= POLICY_TIMEOUT_S
        }
        if not fresh:
            return {}
        values = {name: value for status in fresh.values() for name, value in status["values"].items()}
        worst = max(fresh.values(), key=lambda status: status["level"])
        wanted = ("rate_hz", "inference_p50_ms", "score_static", "score_wrist", "limit")
        wanted += ("static_local", "wrist_local")
        figures = {name: number for name in wanted if (number := _number(values.get(name))) is not None}
        call = self._open_call(now)
        return {
            "message": worst["message"] if worst["level"] else "",
            "level": worst["level"],
            **figures,
            **({"call": call} if call else {}),
        }

    def _open_call(self, now: float) -> dict:
        call = self._call
        return call.value if call and now - call.at <= POLICY_TIMEOUT_S else {}

    def recorder_state(self) -> dict:
        """The last message of recorder/state, {} while there is no recorder."""
        recorder = self._recorder
        return recorder.value if recorder and self._clock() - recorder.at <= RECORDER_TIMEOUT_S else {}

    def _if_fresh(self, stamped: Stamped | None, now: float):
        return stamped.value if stamped and now - stamped.at <= self._max_age else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
