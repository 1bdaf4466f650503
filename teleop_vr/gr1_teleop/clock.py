"""The page's clock against this host's: how old a message is when it arrives, and how long a message takes there and back.

Each round trip (sent at t0, answered at `host`, received at t1) says that host - page lies within half the trip around
host - (t0 + t1) / 2. The shortest trip says it best, and an old one loses by as much as the two clocks may have drifted apart since.
Before the first trip nobody knows how old a message is, so it counts as too old for any purpose; the page pings as soon as it is open.
"""

from __future__ import annotations

import math
from collections import deque

from gr1_teleop.protocol import RoundTrip

DRIFT = 300e-6
"""Seconds in one that two clocks may drift apart: crystals are within 100 ppm each."""
_TRIPS = 100  # round trips: the last 100 s, with a ping a second
_LONGEST_S = 10.0


class Clock:
    """s on the host's steady clock, ms on the page's. Not thread-safe: `Link` has the lock."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Another page speaks: its clock starts anew."""
        self._trips: deque[tuple[float, float, float]] = deque(
            maxlen=_TRIPS
        )  # (answered at, round trip, host - page), s

    def trip(self, trip: RoundTrip, now: float) -> None:
        """A ping's way, told at `now`. One that cannot be true is not taken: an answer from the future or from long ago."""
        duration = 1e-3 * (trip.t1 - trip.t0)
        if not (0.0 <= now - trip.host <= _LONGEST_S and duration <= _LONGEST_S):
            return
        offset = trip.host - 5e-4 * (trip.t0 + trip.t1)
        if self._trips:
            _, other, known = self._best(now)
            # Two trips that contradict each other: the page's clock was set, or it stood still while the device slept.
            if abs(offset - known) > (duration + other) / 2.0 + DRIFT * _TRIPS:
                self._trips.clear()
        self._trips.append((trip.host, duration, offset))

    def age(self, t: float, now: float) -> float:
        """How old, in s, a message is that was stamped t and arrived at `now`: never negative; infinite before the first round trip."""
        return max(now - 1e-3 * t - self._best(now)[2], 0.0) if self._trips else math.inf

    @property
    def offset_ms(self) -> float:
        """Host minus page, NaN before the first round trip."""
        return 1e3 * self._best(self._trips[-1][0])[2] if self._trips else math.nan

    def round_trip_ms(self, share: float) -> float:
        """The round trip that this share of the last hundred did not exceed, NaN before the first."""
        durations = sorted(duration for _, duration, _ in self._trips)
        return 1e3 * durations[max(math.ceil(share * len(durations)) - 1, 0)] if durations else math.nan

    def _best(self, now: float) -> tuple[float, float, float]:
        return min(self._trips, key=lambda trip: trip[1] / 2.0 + DRIFT * (now - trip[0]))
