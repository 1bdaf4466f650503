"""Rate, jitter and loss of a page's messages, and what to do about them.

A websocket loses nothing: what a bad network loses arrives late, and what the page could not send any more is
missing in the sequence numbers. Both count as lost, since the clutch does not follow a late sample. Only
differences of the page's clock are used, so no offset between the clocks is needed.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

WINDOW_S = 2.0
"""Time that is looked at during a session, s."""
MIN_SPAN_S = 0.5
"""Time that must have been seen before there is a verdict, s."""
MIN_RATE_HZ = 25.0
MAX_LOST = 0.02
JITTER_SHARE = 0.25
"""Jitter and gaps below this share of their limit are good."""
SLOW_TRIP_MS = 100.0

GOOD, WARN, BAD = "good", "warn", "bad"
NEARER = "use 5 or 6 GHz Wi-Fi in this room, the computer on a cable, or USB (adb reverse)"
_SHORTER = "put the headset and the computer into the same network, without VPN"
_FASTER = "close other pages and programs of the headset, and let it cool down"


@dataclass(frozen=True)
class Quality:
    """rate_hz: samples that arrived per second. jitter_ms: 99 % quantile of the delay above the shortest one.
    gap_ms: longest time between two arrivals. lost: share of samples, 0..1, that never came or came more than
    `max_age` later than the fastest. tone: good, warn or bad. text: one line. advice: what to do, or ""."""

    rate_hz: float
    jitter_ms: float
    gap_ms: float
    lost: float
    tone: str
    text: str
    advice: str

    def as_dict(self) -> dict:
        rounded = {name: round(getattr(self, name), 1) for name in ("rate_hz", "jitter_ms", "gap_ms")}
        return rounded | {
            "lost": round(self.lost, 3),
            "tone": self.tone,
            "text": self.text,
            "advice": self.advice,
        }


class NetworkQuality:
    """Call `add` for each sample, in any order; `measure` gives the verdict on the last seconds.

    timeout_s: gap from which the clutch opens. max_age_s: age from which a sample is not followed.
    window_s: time that is looked at.
    """

    def __init__(self, timeout_s: float, max_age_s: float, window_s: float = WINDOW_S):
        self._timeout, self._max_age, self._window = timeout_s, max_age_s, window_s
        self._samples: deque[tuple[float, float, int]] = deque()
        """(arrival in s, delay above an unknown constant in s, sequence number)"""

    def reset(self) -> None:
        self._samples.clear()

    def add(self, seq: int, t: float, now: float) -> None:
        """A sample stamped t (ms of the page's clock) arrived at `now` (s)."""
        self._samples.append((now, now - 1e-3 * t, seq))
        while now - self._samples[0][0] > self._window:
            self._samples.popleft()

    def measure(self, now: float, round_trip_ms: float = math.nan, last: int = 0) -> Quality | None:
        """The verdict at `now` (s); None if too little was seen within the window. last: number of the newest
        sample, if the page has said it."""
        seen = [sample for sample in self._samples if now - sample[0] <= self._window]
        if len(seen) < 2 or seen[-1][0] - seen[0][0] < MIN_SPAN_S:
            return None
        arrivals, delays, numbers = zip(*seen)
        span = arrivals[-1] - arrivals[0]
        above = sorted(delay - min(delays) for delay in delays)
        jitter = above[math.ceil(0.99 * len(above)) - 1]
        late = sum(delay > self._max_age for delay in above)
        sent = max(max(*numbers, last) - min(numbers) + 1, len(seen))
        rate, lost = (len(seen) - 1) / span, (sent - len(set(numbers)) + late) / sent
        gap = max(after - before for before, after in zip(arrivals, arrivals[1:]))
        tone, advice = self._judge(rate, jitter, gap, lost, round_trip_ms)
        trip = f"round trip {round_trip_ms:.0f} ms, " if math.isfinite(round_trip_ms) else ""
        text = (
            f"{rate:.0f} samples/s, {trip}jitter {1e3 * jitter:.0f} ms, longest gap {1e3 * gap:.0f} ms, "
            f"lost {100 * lost:.0f} %"
        )
        return Quality(rate, 1e3 * jitter, 1e3 * gap, lost, tone, text, advice)

    def _judge(
        self, rate: float, jitter: float, gap: float, lost: float, round_trip_ms: float
    ) -> tuple[str, str]:
        # Late arrivals point to the network, evenly few samples to the headset itself.
        if lost > MAX_LOST or jitter >= self._timeout or (gap >= self._timeout and jitter >= 0.5 * gap):
            return BAD, f"the clutch will open by itself: {NEARER}"
        if gap >= self._timeout or rate < MIN_RATE_HZ:
            return BAD, f"the headset sends too rarely: {_FASTER}"
        if lost > 0 or jitter >= JITTER_SHARE * self._timeout:
            return WARN, NEARER
        if round_trip_ms >= SLOW_TRIP_MS:
            return WARN, _SHORTER
        return GOOD, ""
