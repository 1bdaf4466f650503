"""Rate and silence of a topic, and whether they are a problem. No ROS."""

from __future__ import annotations

import threading

from gr1_common.timing import RateMeter

MIN_RATE_SHARE = 0.8
"""Share of the nominal rate below which the rate is a problem."""

_WINDOW_S = 3.0


class TopicMonitor:
    """One topic. `on_message` and `status` may be called from different threads.

    hz: nominal rate. max_age: silence that is a problem, s. began: start of the monitoring, s on the steady
    clock.
    """

    def __init__(self, name: str, hz: float, max_age: float, began: float):
        self.name, self.hz, self.max_age = name, hz, max_age
        self._began, self._newest = began, None
        self._lock, self._rate = threading.Lock(), RateMeter(_WINDOW_S)

    def on_message(self, now: float) -> None:
        with self._lock:
            self._newest = now
            self._rate.tick(now)

    def age(self, now: float) -> float:
        """Time since the last message, or since `began` if there was none, s."""
        with self._lock:
            return now - (self._began if self._newest is None else self._newest)

    def status(self, now: float) -> dict:
        """For the pages: {"topic", "hz", "expected_hz", "age_s", "problem"}; problem is "" or a text."""
        age = self.age(now)
        with self._lock:
            hz, new = self._rate.hz_at(now), self._newest is None
        return {
            "topic": self.name,
            "hz": hz,
            "expected_hz": self.hz,
            "age_s": age,
            "problem": self._problem(age, hz, new, now),
        }

    def _problem(self, age: float, hz: float, new: bool, now: float) -> str:
        if age > self.max_age:
            return f"nothing {'yet' if new else f'for {age:.1f} s'}"
        if now - self._began > _WINDOW_S and hz < MIN_RATE_SHARE * self.hz:
            return f"{hz:.1f} Hz instead of {self.hz:g}"
        return ""
