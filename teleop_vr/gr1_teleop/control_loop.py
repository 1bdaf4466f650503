"""The control loop: computes a command once per control period and checks for a stop every 10 ms. No ROS."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from gr1_common.timing import RateMeter, RollingWindow
from gr1_teleop.clutch_settings import TeleopCommand
from gr1_teleop.operator_link import OperatorLink
from gr1_teleop.robot_state import RobotState

CHECK_PERIOD_S = 0.01
"""Period of the check for a stop, s; a stop is sent at most this long after its cause."""


class ControlLoop:
    """Call `step` every CHECK_PERIOD_S. period: control period, s. send(command): publishes a command."""

    def __init__(
        self, link: OperatorLink, robot: RobotState, period: float, send: Callable[[TeleopCommand], None]
    ):
        self._link, self._robot, self._period, self._send = link, robot, period, send
        self._due, self._lock = -math.inf, threading.Lock()
        self._latencies, self._rate = RollingWindow(), RateMeter()
        self.sent = 0

    def step(self, now: float) -> None:
        if stop := self._link.pop_stop_command(now):
            self._send_command(stop, now)
        if now < self._due - CHECK_PERIOD_S / 2.0:
            return
        # A late step delays the next ones too: two commands are never closer than a period.
        self._due = max(self._due + self._period, now + self._period - CHECK_PERIOD_S / 2.0)
        robot = self._robot
        if command := self._link.compute_command(robot.pose(now), now, robot.closure(now), robot.blocked):
            self._send_command(command, now)

    def send_final_stop(self, now: float) -> None:
        """Sends the zero twist of an engagement that has just ended, if any. Call it last."""
        if stop := self._link.pop_stop_command(now):
            self._send_command(stop, now)

    def reset_latencies(self) -> None:
        """Another operator has connected: clears the latency statistics."""
        with self._lock:
            self._latencies.clear()

    def figures(self, now: float) -> dict[str, float]:
        """commands: number sent. rate_hz. pose_to_command: ms from the sample on its device to its command
        (NaN: none yet)."""
        with self._lock:
            quantiles = {
                f"pose_to_command_p{q}_ms": 1e3 * self._latencies.quantile(q / 100) for q in (50, 99)
            }
            return {"commands": self.sent, "rate_hz": self._rate.hz_at(now), **quantiles}

    def _send_command(self, command: TeleopCommand, now: float) -> None:
        self._send(command)
        with self._lock:
            self.sent += 1
            self._rate.tick(now)
            if command.engaged and math.isfinite(age := self._link.sample_age(now)):
                self._latencies.add(age)
