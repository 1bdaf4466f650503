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


class Homing:
    """Active from `start` until the commanded pose is home or `cancel` is called."""

    def __init__(self, limits: Limits):
        self._speeds = (_SHARE_OF_SPEED * limits.linear_speed, _SHARE_OF_SPEED * limits.angular_speed)
        self._home: Pose | None = None

    @property
    def active(self) -> bool:
        return self._home is not None

    def start(self, home: Pose) -> None:
        self._home = home

    def cancel(self) -> None:
        self._home = None

    def next_twist(self, commanded: Pose) -> tuple[np.ndarray, np.ndarray] | None:
        """m/s and rad/s towards home, base frame; None on arrival."""
        shift = self._home.position - commanded.position
        turn = (
            Rotation.from_quat(self._home.quaternion) * Rotation.from_quat(commanded.quaternion).inv()
        ).as_rotvec()
        if np.linalg.norm(shift) < _NEAR_M and np.linalg.norm(turn) < _NEAR_RAD:
            self.cancel()
            return None
        return _velocity_towards(shift, self._speeds[0]), _velocity_towards(turn, self._speeds[1])


def _velocity_towards(way: np.ndarray, speed: float) -> np.ndarray:
    """The remaining way over the time constant, at most `speed`."""
    wanted = way / _TIME_CONSTANT
    return wanted * min(1.0, speed / max(float(np.linalg.norm(wanted)), 1e-12))
