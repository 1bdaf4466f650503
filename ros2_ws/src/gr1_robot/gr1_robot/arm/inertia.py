"""The inertia of a simulated arm: what it makes of the twists that it is sent. ROS-free."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from gr1_common.conventions import TICK
from gr1_robot.arm.backend import ArmLimits

_PARTS = slice(0, 3), slice(3, 6)


class Inertia:
    """A velocity that follows the twists of `lag` seconds ago, as fast as the arm's acceleration allows.

    vendor: linear_braking and angular_braking are its accelerations, m/s2 and rad/s2, in every direction.
    """

    def __init__(self, vendor: ArmLimits, lag: float):
        self._most = vendor.linear_braking * TICK, vendor.angular_braking * TICK
        self._waiting: deque[np.ndarray] = deque()
        self.set_lag(lag)
        self.rest()

    def set_lag(self, lag: float) -> None:
        """s; the twists that wait are lost."""
        self._waiting = deque([np.zeros(6)] * round(lag / TICK))

    def rest(self) -> None:
        """The arm stands still from now on, with nothing to carry out."""
        self.velocity = np.zeros(6)
        self._waiting = deque([np.zeros(6)] * len(self._waiting))

    def step(self, linear, angular) -> tuple[np.ndarray, np.ndarray]:
        """One tick: the twist that is sent -> the twist of the arm, f64[3] m/s and f64[3] rad/s."""
        self._waiting.append(np.concatenate([linear, angular]))
        wanted, velocity = self._waiting.popleft(), self.velocity.copy()
        for part, most in zip(_PARTS, self._most):
            change = wanted[part] - velocity[part]
            size = math.sqrt(change @ change)
            velocity[part] += change * min(most / max(size, 1e-12), 1.0)
        self.velocity = velocity
        return velocity[:3], velocity[3:]
