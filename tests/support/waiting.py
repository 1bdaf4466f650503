"""Waiting for what has no event of its own."""

import time

TIMEOUT_S = 20.0


def eventually(condition, what: str, seconds: float = TIMEOUT_S, period: float = 0.005):
    """Waits until `condition()` is true and returns its value; fails with `what` otherwise."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(period)
    raise AssertionError(f"not within {seconds:g} s: {what}")
