"""How the twist changes from tick to tick, and what an arm with inertia makes of it. ROS-free."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from gr1_common.conventions import TICK
from gr1_core.rig import Limits
from gr1_robot.arm.backend import ArmLimits
from gr1_robot.arm.motion_limits import REACTION_S, Sent

_PARTS = slice(0, 3), slice(3, 6)


class Ramp:
    """The twist of this moment, f64[6] m/s and rad/s.

    A command is followed no harder than the arm brakes (vendor): it stays on its path. `hard`: where rest is
    wanted, the twist falls at the rig's speed / stop_time, and the arm itself decides how hard it brakes.
    """

    def __init__(self, limits: Limits, stop_time: float, vendor: ArmLimits):
        self._limits, self._stop_time = limits, stop_time
        self._braking = vendor.linear_braking, vendor.angular_braking
        self._accelerations = (
            min(limits.linear_acceleration, vendor.linear_braking),
            min(limits.angular_acceleration, vendor.angular_braking),
        )
        self._twist = np.zeros(6)
        self._arm = np.zeros(6)
        """The velocity of an arm that brakes as its vendor says."""
        inert = any(map(math.isfinite, self._braking))
        self._recent: deque[np.ndarray] = deque(maxlen=round(REACTION_S / TICK) if inert else 0)
        """m and rad of each of the last ticks, the last one first."""
        self._still = 0
        """Ticks since the last one with motion."""

    def sent(self) -> Sent:
        """What the arm may still have to carry out."""
        return Sent(self._arm, np.cumsum(self._recent, axis=0).reshape(-1, 6))

    @property
    def at_rest(self) -> bool:
        """Whether an arm that brakes as its vendor says, and follows REACTION_S late, stands still."""
        return self._still > self._recent.maxlen

    def brake(self, elapsed: float, hard: bool) -> np.ndarray:
        """The result of braking alone, both parts of the motion together."""
        need = max(_norm(self._twist[part]) / most for part, most in zip(_PARTS, self._fall(elapsed, hard)))
        return self._twist * (1.0 - 1.0 / max(need, 1.0))

    def towards(self, target: np.ndarray, elapsed: float, hard: bool) -> np.ndarray:
        """One step towards `target`: first braking, then acceleration.

        Linear and angular part share the step, so that a braking arm stays on its path. An arm that does not
        follow yet is not accelerated.
        """
        before, fall = self._twist, self._fall(elapsed, hard)
        kept = np.concatenate([_part_along(before[part], target[part]) for part in _PARTS])
        slower, faster = kept - before, target - kept
        need = max(_norm(slower[part]) / most for part, most in zip(_PARTS, fall))
        after = before + slower / max(need, 1.0)
        behind = self._arm - before
        if any(_norm(behind[part]) > 0.5 * TICK * most for part, most in zip(_PARTS, self._braking)):
            return after
        budget = TICK * max(1.0 - need, 0.0)
        for part, acceleration in zip(_PARTS, self._accelerations):
            gain = _norm(faster[part])
            if gain > 0:
                after[part] += faster[part] * min(budget * acceleration / gain, 1.0)
        return limit_speed(after, self._limits)

    def take(self, twist: np.ndarray, elapsed: float) -> None:
        """The twist that is sent in this tick."""
        self._twist, arm = twist, twist.copy()
        for part, braking in zip(_PARTS, self._braking):
            behind = arm[part] - self._arm[part]
            arm[part] = self._arm[part] + _limit_length(behind, braking * elapsed)
        self._arm = arm
        self._still = 0 if twist.any() or arm.any() else self._still + 1
        self._recent.appendleft(arm * TICK)

    def _fall(self, elapsed: float, hard: bool) -> tuple[float, float]:
        """m/s and rad/s by which the twist may fall in this tick."""
        limits, share = self._limits, elapsed / self._stop_time * (1 + 1e-9)
        falls = share * limits.linear_speed, share * limits.angular_speed
        if hard:
            return falls
        return tuple(min(fall, elapsed * braking) for fall, braking in zip(falls, self._braking))


def limit_speed(twist: np.ndarray, limits: Limits) -> np.ndarray:
    """The twist with both parts shortened to the rig's speeds."""
    linear, angular = (
        _limit_length(twist[:3], limits.linear_speed),
        _limit_length(twist[3:], limits.angular_speed),
    )
    return np.concatenate([linear, angular])


def _norm(vector: np.ndarray) -> float:
    return math.sqrt(vector @ vector)


def _part_along(before: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The part of `before` that may stay on the way to `target`: its component along it, no more than there
    is.
    """
    square = before @ before
    return before * min(max(target @ before / square, 0.0), 1.0) if square > 0 else before


def _limit_length(vector: np.ndarray, length: float) -> np.ndarray:
    """The vector, shortened to `length` if it is longer."""
    norm = _norm(vector)
    return vector * (length / norm) if norm > length else vector
