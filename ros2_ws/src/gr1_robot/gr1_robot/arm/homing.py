"""Homing through the gate: a straight line to the home pose that slows down near its end, as twists.
ROS-free.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.pose import Pose
from gr1_core.rig import Limits

_TIME_CONSTANT = 0.3
_SHARE_OF_SPEED = 0.5
_NEAR_M, _NEAR_RAD = 0.002, 0.01
_SLACK_S = 5.0


class Homing:
    """Active from `start` until the commanded pose is home or `cancel` is called.

    It may take twice the time of the way at its speed, and some seconds more.
    """

    def __init__(self, limits: Limits):
        self._speeds = (_SHARE_OF_SPEED * limits.linear_speed, _SHARE_OF_SPEED * limits.angular_speed)
        self._home: Pose | None = None
        self._deadline: float | None = None

    @property
    def active(self) -> bool:
        return self._home is not None

    def start(self, home: Pose) -> None:
        self._home, self._deadline = home, None

    def cancel(self) -> None:
        self._home = None

    def overdue(self, now: float) -> bool:
        """Whether homing has taken too long."""
        return self._deadline is not None and now > self._deadline

    def next_twist(self, commanded: Pose, now: float) -> tuple[np.ndarray, np.ndarray] | None:
        """m/s and rad/s towards home, base frame; None on arrival. now: s on the steady clock."""
        shift = self._home.position - commanded.position
        turn = (
            Rotation.from_quat(self._home.quaternion) * Rotation.from_quat(commanded.quaternion).inv()
        ).as_rotvec()
        if self._deadline is None:
            way = max(np.linalg.norm(shift) / self._speeds[0], np.linalg.norm(turn) / self._speeds[1])
            self._deadline = now + 2.0 * float(way) + _SLACK_S
        if np.linalg.norm(shift) < _NEAR_M and np.linalg.norm(turn) < _NEAR_RAD:
            self.cancel()
            return None
        return _velocity_towards(shift, self._speeds[0]), _velocity_towards(turn, self._speeds[1])


def _velocity_towards(way: np.ndarray, speed: float) -> np.ndarray:
    """The remaining way over the time constant, at most `speed`."""
    wanted = way / _TIME_CONSTANT
    return wanted * min(1.0, speed / max(float(np.linalg.norm(wanted)), 1e-12))
