"""How a topic comes in: its rate, its silence, and whether that is trouble. No ROS."""

from __future__ import annotations

import threading

from gr1_common.timing import Rate

ENOUGH = 0.8
"""Share of the nominal rate below which a topic is in trouble."""

_SPAN_S = 3.0


class Topic:
    """One topic; `tick` and `row` may come from different threads.

    hz: nominal rate. max_age: s of silence that are trouble. began: s on the steady clock, from which on it is waited for.
    """

    def __init__(self, name: str, hz: float, max_age: float, began: float):
        self.name, self.hz, self.max_age = name, hz, max_age
        self._began, self._newest = began, None
        self._lock, self._rate = threading.Lock(), Rate(_SPAN_S)

    def tick(self, now: float) -> None:
        with self._lock:
            self._newest = now
            self._rate.tick(now)

    def age(self, now: float) -> float:
        """s since the last message, or since the beginning where none has come."""
        with self._lock:
            return now - (self._began if self._newest is None else self._newest)

    def row(self, now: float) -> dict:
        """As the pages want it: {"topic", "hz", "expected_hz", "age_s", "trouble"}; trouble is "" or says what is wrong."""
        age = self.age(now)
        with self._lock:
            hz, new = self._rate.hz_at(now), self._newest is None
        return {
            "topic": self.name,
            "hz": hz,
            "expected_hz": self.hz,
            "age_s": age,
            "trouble": self._trouble(age, hz, new, now),
        }

    def _trouble(self, age: float, hz: float, new: bool, now: float) -> str:
        if age > self.max_age:
            return f"nothing {'yet' if new else f'for {age:.1f} s'}"
        if now - self._began > _SPAN_S and hz < ENOUGH * self.hz:
            return f"{hz:.1f} Hz instead of {self.hz:g}"
        return ""
