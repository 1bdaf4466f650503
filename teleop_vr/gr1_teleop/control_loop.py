"""The control loop: asks the link at the control rate, and for a stop at every beat. No ROS."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from gr1_common.timing import Rate, Window
from gr1_teleop.link import Link
from gr1_teleop.robot_state import Robot
from gr1_teleop.settings import Command

BEAT_S = 0.01
"""How often a stop is looked for: it goes out at most so long after its reason."""


class Driver:
    """`step` is called every BEAT_S. period: the control period in s; send(command): puts a command on its way."""

    def __init__(self, link: Link, robot: Robot, period: float, send: Callable[[Command], None]):
        self._link, self._robot, self._period, self._send = link, robot, period, send
        self._due, self._lock = -math.inf, threading.Lock()
        self._latencies, self._rate = Window(), Rate()
        self.sent = 0

    def step(self, now: float) -> None:
        if halt := self._link.halt(now):
            self._put(halt, now)
        if now < self._due - BEAT_S / 2.0:
            return
        # A beat that comes late moves the next ones: two commands are never closer than a period.
        self._due = max(self._due + self._period, now + self._period - BEAT_S / 2.0)
        robot = self._robot
        if command := self._link.command(robot.pose(now), now, robot.closure(now), robot.blocked):
            self._put(command, now)

    def rest(self, now: float) -> None:
        """The last thing that is sent: the zero twist of an engagement that has just ended, if there was one."""
        if halt := self._link.halt(now):
            self._put(halt, now)

    def forget(self) -> None:
        """Another operator: latencies are counted anew."""
        with self._lock:
            self._latencies.clear()

    def figures(self, now: float) -> dict[str, float]:
        """commands, rate_hz; pose_to_command: ms from a hand's sample on its device to the command that follows it (NaN: none yet)."""
        with self._lock:
            quantiles = {
                f"pose_to_command_p{q}_ms": 1e3 * self._latencies.quantile(q / 100) for q in (50, 99)
            }
            return {"commands": self.sent, "rate_hz": self._rate.hz_at(now), **quantiles}

    def _put(self, command: Command, now: float) -> None:
        self._send(command)
        with self._lock:
            self.sent += 1
            self._rate.tick(now)
            if command.engaged and math.isfinite(age := self._link.sample_age(now)):
                self._latencies.add(age)
