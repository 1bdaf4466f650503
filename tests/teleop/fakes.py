"""Fakes of the server's collaborators: the operator's link, the recorder, the robot."""

from __future__ import annotations

import threading

import numpy as np

from gr1_core import images
from gr1_teleop.operator_link import OperatorBusy
from gr1_teleop.protocol import HandPose, Ping, parse


class FakeLink:
    """One operator; keeps the messages that it receives."""

    def __init__(self):
        self.key = None
        self.poses: list[HandPose] = []
        self.ended: list[str] = []
        self.pulses: list[dict] = []
        self.silent = self.broken = False
        self.changed = threading.Condition()

    def connect(self, kind: str, device: str, session: str = ""):
        if self.key is not None and not self.silent:
            raise OperatorBusy("there is an operator already: a Quest 3")
        self.key, self.silent = object(), False
        return self.key

    def welcome(self) -> dict:
        return {"type": "welcome", "operator": True, "scale": 0.8, "rate": 10.0}

    def receive(self, key, text: str, now: float) -> list[dict]:
        if self.broken:
            raise RuntimeError("a bug")
        message = parse(text)
        with self.changed:
            if key is not self.key:
                return []
            if isinstance(message, HandPose) and (not self.poses or message.seq > self.poses[-1].seq):
                self.poses.append(message)
                self.changed.notify_all()
        return [{"type": "pong", "t": message.t, "host": now}] if isinstance(message, Ping) else []

    def is_operator(self, key) -> bool:
        return key is self.key

    def disconnect(self, key, why: str) -> None:
        with self.changed:
            self.ended.append(why)
            if key is self.key:
                self.key = None
            self.changed.notify_all()

    def state(self) -> dict:
        pulses, self.pulses = self.pulses, []
        return {"clutch": "open", "why": "", "rtt_ms": float("nan"), "haptics": pulses}

    def wait(self, condition, seconds: float = 5.0) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, seconds)


class FakeRecorder:
    """Accepts every call; `refusal` makes it refuse, `hold` makes it wait until the event is set."""

    def __init__(self):
        self.calls: list[str] = []
        self.refusal = self.loses = ""
        self.hold: threading.Event | None = None

    def _do(self, call: str) -> str:
        self.calls.append(call)
        if self.hold:
            self.hold.wait(5.0)
        if self.refusal:
            raise ValueError(self.refusal)
        return "20240501-141503-open_drawer"

    def start(self) -> str:
        return self._do("start")

    def success(self) -> str:
        return self._do("success")

    def failure(self) -> str:
        return self._do("failure")

    def discard(self) -> str:
        return self._do("discard")

    def relabel(self, instruction: str) -> str:
        return self._do(f"relabel: {instruction}")

    def loss(self) -> str:
        return self.loses

    def publish_instruction(self, instruction: str) -> None:
        self.calls.append(f"instruct: {instruction}")


class FakeRobotView:
    """A robot at rest."""

    def __init__(self):
        self.values = {
            "gate": {"state": "holding", "reason": "", "source": "", "detail": "not for the pages"},
            "recorder": {
                "state": "idle",
                "bag": "",
                "outcome": "",
                "seconds": 0.0,
                "episodes": {"success": 2},
            },
            "topics": [{"topic": "arm/pose", "hz": 99.0, "expected_hz": 100.0, "age_s": 0.01, "problem": ""}],
            "warnings": [],
        }
        self.wanted = 0
        self.frames = {"static": images.encode_jpeg(np.full((48, 64, 3), 90, np.uint8))}

    def camera_images(self) -> dict[str, bytes]:
        return self.frames

    def want_predicted(self) -> None:
        self.wanted += 1

    def status(self) -> dict:
        return self.values

    def confirm_call(self) -> tuple[bool, str]:
        self.confirmed = getattr(self, "confirmed", 0) + 1
        return True, "the policy goes on at full speed"

    def judge(self, verdict: str) -> tuple[bool, str]:
        self.verdicts = [*getattr(self, "verdicts", []), verdict]
        return True, f"noted: {verdict}"
