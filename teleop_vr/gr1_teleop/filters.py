"""The one-euro filter for positions and orientations: strong smoothing at rest, little delay in motion.

After Casiez, Roussel and Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012: a first-order low-pass with cutoff `min_cutoff` + `beta` * speed. All axes
share one cutoff, so that a path keeps its shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gr1_teleop import quaternion

_MIN_PERIOD_S = 1e-4


@dataclass(frozen=True)
class OneEuroSettings:
    """min_cutoff: cutoff at rest, Hz. beta: increase of the cutoff, Hz per m/s or per rad/s.
    derivative_cutoff: cutoff of the speed, Hz."""

    min_cutoff: float
    beta: float
    derivative_cutoff: float = 3.0

    def __post_init__(self):
        for name in ("min_cutoff", "beta", "derivative_cutoff"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"one-euro filter: {name} is {value}, expected a finite number above 0")


class _OneEuro:
    """The filter for values whose differences are vectors f64[3]."""

    def __init__(self, settings: OneEuroSettings):
        self._settings = settings
        self.reset()

    def reset(self) -> None:
        """Forgets the past: the next value passes unchanged."""
        self._value = None

    def __call__(self, value, t: float) -> np.ndarray:
        """The filtered value at time t in s. A value with a time not after the last one is ignored."""
        value = np.array(value, np.float64)
        if self._value is None:
            self._value, self._raw, self._t, self._speed = value, value, t, np.zeros(3)
            return self._value
        dt = t - self._t
        if dt < _MIN_PERIOD_S:
            return self._value
        # Speed of the raw values: the filtered value trails behind, which would make every sample look fast.
        self._speed = self._speed + _alpha(self._settings.derivative_cutoff, dt) * (
            self._difference(self._raw, value) / dt - self._speed
        )
        cutoff = self._settings.min_cutoff + self._settings.beta * math.hypot(*self._speed)
        self._value = self._step(self._value, _alpha(cutoff, dt) * self._difference(self._value, value))
        self._raw, self._t = value, t
        return self._value


class PositionFilter(_OneEuro):
    """f64[3] in m. beta: Hz per m/s."""

    def _difference(self, before, after) -> np.ndarray:
        return after - before

    def _step(self, value, by) -> np.ndarray:
        return value + by


class RotationFilter(_OneEuro):
    """f64[4] xyzw; q and -q are the same orientation. beta: Hz per rad/s."""

    def _difference(self, before, after) -> np.ndarray:
        return quaternion.rotation_between(before, after)

    def _step(self, value, by) -> np.ndarray:
        return quaternion.multiply(quaternion.from_rotation_vector(by), value)


def _alpha(cutoff: float, dt: float) -> float:
    """Smoothing factor 0..1 of a first-order low-pass: cutoff in Hz, time step dt in s."""
    return 1.0 / (1.0 + 1.0 / (2.0 * math.pi * cutoff * dt))
