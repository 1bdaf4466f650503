"""Where the time of a remote step goes, over the last steps."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

PARTS = ("encode", "network", "wait", "decode", "inference", "total")
_KEPT = 300


class Latency:
    """Seconds inside, milliseconds in `values`. Written by one thread, read by any.

    encode: the images, on the client. network: there and back, with what the sockets hold. wait: for other
    clients' steps. decode: the images, on the server. inference: the model. total: all of it.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._parts = {part: deque(maxlen=_KEPT) for part in PARTS}
        self.steps = self.late = self.lost = self.bytes = 0

    def add(self, sent: int, **parts: float) -> None:
        """One step that was answered in time. sent: bytes of its request."""
        with self._lock:
            self.steps += 1
            self.bytes = sent
            for part, seconds in parts.items():
                self._parts[part].append(seconds)

    def add_late(self) -> None:
        """A step whose answer did not come in time."""
        with self._lock:
            self.late += 1

    def add_lost(self) -> None:
        """A connection that ended."""
        with self._lock:
            self.lost += 1

    def values(self) -> dict[str, object]:
        """p50 and p99 of each part in ms, and the counts."""
        with self._lock:
            quantiles = {
                f"{part}_p{percent}_ms": 1e3 * float(np.percentile(seconds, percent)) if seconds else "none"
                for part, seconds in self._parts.items()
                for percent in (50, 99)
            }
            counts = {"answered": self.steps, "late": self.late, "connections_lost": self.lost}
            return quantiles | counts | {"request_kB": round(self.bytes / 1e3, 1)}
