"""The one-euro filter: calm while the hand rests, prompt while it moves. For positions and for orientations.

After Casiez, Roussel and Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems", CHI 2012:
a low-pass of the first order whose cutoff is `rest` + `slope` * speed. One cutoff serves all axes, so that a path keeps its shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gr1_teleop import quaternion

_SHORTEST_S = 1e-4


@dataclass(frozen=True)
class Smoothing:
    """rest: cutoff in Hz of a hand that rests. slope: Hz more for each m/s or rad/s. speed: cutoff in Hz of the measured speed itself."""

    rest: float
    slope: float
    speed: float = 3.0

    def __post_init__(self):
        for name in ("rest", "slope", "speed"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"smoothing.{name} is {value}: give a finite number above zero")


class _OneEuro:
    """The filter on whatever has differences that are vectors f64[3] and steps by such a vector."""

    def __init__(self, smoothing: Smoothing):
        self._smoothing = smoothing
        self.reset()

    def reset(self) -> None:
        """Forgets: the next value passes as it is."""
        self._value = None

    def __call__(self, value, t: float) -> np.ndarray:
        """The filtered value at time t in s; a value that comes no later than the one before is not taken."""
        value = np.array(value, np.float64)
        if self._value is None:
            self._value, self._raw, self._t, self._speed = value, value, t, np.zeros(3)
            return self._value
        dt = t - self._t
        if dt < _SHORTEST_S:
            return self._value
        # The speed is that of the raw values: what is filtered trails behind, and makes each sample look fast.
        self._speed = self._speed + _share(self._smoothing.speed, dt) * (
            self._difference(self._raw, value) / dt - self._speed
        )
        cutoff = self._smoothing.rest + self._smoothing.slope * math.hypot(*self._speed)
        self._value = self._step(self._value, _share(cutoff, dt) * self._difference(self._value, value))
        self._raw, self._t = value, t
        return self._value


class PositionFilter(_OneEuro):
    """f64[3] in m; the smoothing's slope is Hz for each m/s."""

    def _difference(self, before, after) -> np.ndarray:
        return after - before

    def _step(self, value, by) -> np.ndarray:
        return value + by


class RotationFilter(_OneEuro):
    """f64[4] xyzw; the smoothing's slope is Hz for each rad/s. q and -q are the same orientation."""

    def _difference(self, before, after) -> np.ndarray:
        return quaternion.between(before, after)

    def _step(self, value, by) -> np.ndarray:
        return quaternion.times(quaternion.from_vector(by), value)


def _share(cutoff: float, dt: float) -> float:
    """How much of a difference a low-pass with this cutoff in Hz lets through in dt s, 0..1."""
    return 1.0 / (1.0 + 1.0 / (2.0 * math.pi * cutoff * dt))
