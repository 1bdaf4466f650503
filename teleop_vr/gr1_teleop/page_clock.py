"""The offset between the page's and the host's clock: gives the age of messages and the round-trip time.

A round trip is sent at t0, answered at `host` and received at t1. It bounds the offset host - page to host -
(t0 + t1) / 2, plus or minus half the round trip. The shortest round trip gives the tightest bound; the bound
of an old one grows by the possible drift of the clocks. Before the first round trip the age of a message is
unknown, so every message counts as too old. The page pings as soon as it is open.
"""

from __future__ import annotations

import math
from collections import deque

from gr1_teleop.protocol import RoundTrip

MAX_DRIFT = 300e-6
"""Drift between two clocks, s per s: crystals are within 100 ppm each."""
_KEPT_TRIPS = 100  # round trips: the last 100 s at one ping per second
_MAX_TRIP_S = 10.0


class PageClock:
    """Host times: s on the steady clock. Page times: ms. Not thread-safe: `OperatorLink` holds the lock."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Another page has connected: its clock is unknown."""
        # (answered at, round trip, host - page), all in s
        self._trips: deque[tuple[float, float, float]] = deque(maxlen=_KEPT_TRIPS)

    def add_round_trip(self, trip: RoundTrip, now: float) -> None:
        """Adds one round trip, reported at `now`. Ignores an impossible one (from the future or long ago)."""
        duration = 1e-3 * (trip.t1 - trip.t0)
        if not (0.0 <= now - trip.host <= _MAX_TRIP_S and duration <= _MAX_TRIP_S):
            return
        offset = trip.host - 5e-4 * (trip.t0 + trip.t1)
        if self._trips:
            _, other, known = self._best(now)
            # The trips contradict each other: the page's clock was set, or stopped while the device slept.
            if abs(offset - known) > (duration + other) / 2.0 + MAX_DRIFT * _KEPT_TRIPS:
                self._trips.clear()
        self._trips.append((trip.host, duration, offset))

    def message_age(self, t: float, now: float) -> float:
        """Age in s of a message stamped t ms that arrived at `now` s: not negative; infinite before the first
        round trip."""
        return max(now - 1e-3 * t - self._best(now)[2], 0.0) if self._trips else math.inf

    @property
    def offset_ms(self) -> float:
        """Host clock minus page clock in ms; NaN before the first round trip."""
        return 1e3 * self._best(self._trips[-1][0])[2] if self._trips else math.nan

    def round_trip_ms(self, share: float) -> float:
        """Quantile `share` (0..1) of the last 100 round trips in ms; NaN before the first."""
        durations = sorted(duration for _, duration, _ in self._trips)
        return 1e3 * durations[max(math.ceil(share * len(durations)) - 1, 0)] if durations else math.nan

    def _best(self, now: float) -> tuple[float, float, float]:
        return min(self._trips, key=lambda trip: trip[1] / 2.0 + MAX_DRIFT * (now - trip[0]))
