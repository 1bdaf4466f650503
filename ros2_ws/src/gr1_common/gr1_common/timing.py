"""Rolling statistics of a stream: rate, age, quantiles. ROS-free."""

from __future__ import annotations

import math
from collections import deque

import numpy as np


class RollingWindow:
    """The last `size` numbers."""

    def __init__(self, size: int = 200):
        self._values: deque[float] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        self._values.append(value)

    def clear(self) -> None:
        self._values.clear()

    def quantile(self, q: float) -> float:
        """The q-th quantile (0 .. 1) of the window; NaN while it is empty."""
        return float(np.quantile(self._values, q)) if self._values else math.nan


class RateMeter:
    """Measures the rate of events from their times (s, any clock) over the last `span` seconds."""

    def __init__(self, span: float = 3.0):
        self._span = span
        self._ticks: deque[float] = deque()
        self.periods = RollingWindow()

    def tick(self, t: float) -> None:
        """One event at time t."""
        if self._ticks:
            self.periods.add(t - self._ticks[-1])
        self._ticks.append(t)
        self._drop_old(t)

    @property
    def hz(self) -> float:
        """Events per second between the first and the last event in the span; 0 for fewer than two."""
        if len(self._ticks) < 2 or self._ticks[-1] <= self._ticks[0]:
            return 0.0
        return (len(self._ticks) - 1) / (self._ticks[-1] - self._ticks[0])

    def hz_at(self, now: float) -> float:
        """`hz` at time `now`: falls to 0 when the span has had no event."""
        self._drop_old(now)
        return self.hz

    def age(self, now: float) -> float:
        """Seconds since the last event; infinite if the span has had none."""
        return now - self._ticks[-1] if self._ticks else math.inf

    def _drop_old(self, now: float) -> None:
        while self._ticks and now - self._ticks[0] > self._span:
            self._ticks.popleft()
