"""Whether the arm carries out what it is sent: what was sent, compared with how its commanded pose moved.
ROS-free.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from gr1_common.conventions import TICK
from gr1_core.pose import Pose
from gr1_robot.arm.motion_limits import rotation_between

_WINDOW_S = 0.4
_DELAYS = tuple(round(delay / TICK) for delay in (0.0, 0.05, 0.1))
"""Ticks: so late may the arm be, and its state with it."""
_ENOUGH = np.repeat([1 / 0.003, 1 / 0.03], 3)
"""1/m and 1/rad: less motion than this is not judged."""
_SHARE = 0.2
_PERSISTS_S = 0.1


class _Tick(NamedTuple):
    at: float
    sent: np.ndarray
    pose: Pose


class Obedience:
    """`update` is called once a tick; `restart` when the arm was placed elsewhere, or is not known to be
    where it was.
    """

    def __init__(self):
        self._total = np.zeros(6)
        self.restart()

    def restart(self) -> None:
        self._ticks: deque[_Tick] = deque(maxlen=round(_WINDOW_S / TICK) + max(_DELAYS))
        self._ignored_since: float | None = None

    def take(self, twist: np.ndarray) -> None:
        """f64[6], m/s and rad/s, of the next tick."""
        self._total = self._total + twist * TICK

    def ignores(self, at: float, commanded: Pose) -> bool:
        """Whether the arm has not moved as it was sent for long enough. at: s, when it had this pose."""
        if self._ticks and at <= self._ticks[-1].at:
            return False
        self._ticks.append(_Tick(at, self._total, commanded))
        if not self._stands_still():
            self._ignored_since = None
        elif self._ignored_since is None:
            self._ignored_since = at
        return self._ignored_since is not None and at - self._ignored_since >= _PERSISTS_S

    def _stands_still(self) -> bool:
        ticks, latest = self._ticks, max(_DELAYS)
        if len(ticks) <= latest + 1:
            return False
        first, last = ticks[latest], ticks[-1]
        done = None
        for delay in _DELAYS:
            sent = (ticks[-1 - delay].sent - ticks[latest - delay].sent) * _ENOUGH
            size = sent @ sent
            if size < 1.0:
                return False
            if done is None:
                moved = last.pose.position - first.pose.position
                turned = rotation_between(first.pose.quaternion, last.pose.quaternion)
                done = np.concatenate([moved, turned]) * _ENOUGH
            if done @ sent > _SHARE * size:
                return False
        return True
