"""The messages of the stack under test, each with its time on this process's steady clock, in seconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import NamedTuple

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from gr1_common.messages import from_pose, from_twist, nanoseconds, seconds
from gr1_common.stack_monitor import LEVELS, StackMonitor
from gr1_core.rig import ROLES

_KEPT = 3000
_EVERY, _COMMANDS = (
    QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=200, reliability=reliability)
    for reliability in (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE)
)


class Speed(NamedTuple):
    """The gate's output to the motors: m/s, and whether any of the six numbers is not zero."""

    at: float
    linear: float
    moves: bool


class Position(NamedTuple):
    """xyz in m, base frame. stamp: int ns, the same for the measured and the commanded position of one
    moment.
    """

    at: float
    xyz: np.ndarray
    stamp: int


class Frame(NamedTuple):
    """Times of exposure and arrival."""

    at: float
    arrived: float


class StatusRecord(NamedTuple):
    """One status on /diagnostics. reason: the gate's, else empty."""

    at: float
    name: str
    level: str
    message: str
    reason: str


class Observer:
    """Listens to a stack. stamps: whether its messages' stamps can be trusted; else the time of arrival is
    taken.
    """

    def __init__(self, name: str, stamps: bool = True):
        self.monitor = StackMonitor(name)
        self._stamps, self._lock = stamps, threading.Condition()
        self._speeds, self._measured, self._asked = (deque(maxlen=_KEPT) for _ in range(3))
        self._commands, self.sent = deque(maxlen=_KEPT), deque(maxlen=20)
        self._frames = {role: deque(maxlen=_KEPT) for role in ROLES}
        self._statuses = deque(maxlen=_KEPT)
        node = self.monitor.node
        node.create_subscription(TwistStamped, "arm/commanded_twist", self._on_speed, _EVERY)
        node.create_subscription(
            PoseStamped, "arm/pose", lambda msg: self._store(self._measured, msg, _position), _EVERY
        )
        node.create_subscription(
            PoseStamped, "arm/commanded_pose", lambda msg: self._store(self._asked, msg, _position), _EVERY
        )
        node.create_subscription(TwistStamped, "command/policy/twist", self._on_command, _COMMANDS)
        for role in ROLES:
            frames = self._frames[role]
            node.create_subscription(
                CameraInfo,
                f"camera/{role}/camera_info",
                lambda msg, kept=frames: self._store(kept, msg, _frame),
                _EVERY,
            )
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)

    def clear(self) -> None:
        with self._lock:
            for kept in (
                self._speeds,
                self._measured,
                self._asked,
                self._commands,
                self._statuses,
                *self._frames.values(),
            ):
                kept.clear()

    def speeds(self) -> list[Speed]:
        with self._lock:
            return list(self._speeds)

    def measured(self) -> list[Position]:
        with self._lock:
            return list(self._measured)

    def commands(self) -> list[float]:
        """When the policy's commands were sent."""
        with self._lock:
            return list(self._commands)

    def frames(self, role: str) -> list[Frame]:
        with self._lock:
            return list(self._frames[role])

    def statuses(self) -> list[StatusRecord]:
        with self._lock:
            return list(self._statuses)

    def lead(self) -> list[tuple[float, float]]:
        """(time, m by which the commanded position leads the measured one)."""
        with self._lock:
            asked = {position.stamp: position.xyz for position in self._asked}
            pairs = [(position.at, position.xyz, asked.get(position.stamp)) for position in self._measured]
        return [(at, float(np.linalg.norm(there - here))) for at, here, there in pairs if there is not None]

    def wait(self, condition, timeout: float):
        """Waits until condition(), evaluated at each message, is true; returns its value, or a false one
        after `timeout`.
        """
        until = time.monotonic() + timeout
        with self._lock:
            while not (value := condition()) and (left := until - time.monotonic()) > 0:
                self._lock.wait(min(left, 0.05))
            return value

    def _store(self, kept: deque, message, make) -> None:
        now = time.monotonic()
        at = now - (time.time() - seconds(message.header.stamp)) if self._stamps else now
        with self._lock:
            kept.append(make(at, now, message))
            self._lock.notify_all()

    def _on_speed(self, message: TwistStamped) -> None:
        self._store(self._speeds, message, _speed)

    def _on_command(self, message: TwistStamped) -> None:
        self.sent.append(message)
        self._store(self._commands, message, lambda at, *_: at)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for one in message.status:
            reason = next((pair.value for pair in one.values if pair.key == "reason"), "")
            record = partial(
                StatusRecord, name=one.name, level=LEVELS[ord(one.level)], message=one.message, reason=reason
            )
            self._store(self._statuses, message, lambda at, *_, record=record: record(at))


def _speed(at: float, _: float, message: TwistStamped) -> Speed:
    linear, angular = from_twist(message.twist)
    return Speed(at, float(np.linalg.norm(linear)), bool(linear.any() or angular.any()))


def _position(at: float, _: float, message: PoseStamped) -> Position:
    return Position(at, from_pose(message.pose)[0], nanoseconds(message.header.stamp))


def _frame(at: float, now: float, _message) -> Frame:
    return Frame(at, now)
