"""Rate, latency and restarts of the control steps. ROS-free."""

from __future__ import annotations

import threading

from gr1_common.timing import RateMeter, RollingWindow


class Statistics:
    """Seconds inside, milliseconds in `values()`. Written by the control thread, read by any."""

    def __init__(self):
        self._lock = threading.Lock()
        self._rate, self._inference, self._latency = RateMeter(), RollingWindow(), RollingWindow()
        self._disagreement = RollingWindow()
        self.steps = self.skipped = self.late = self.restarts = 0
        self.last_restart = ""

    def step(self, at: float, inference: float, latency: float, disagreement: float | None = None) -> None:
        """A step whose command was ready at `at` (steady clock), `latency` after its frames were taken.

        disagreement: of its action with earlier action chunks, in the model's units.
        """
        with self._lock:
            self.steps += 1
            self._rate.tick(at)
            self._inference.add(inference)
            self._latency.add(latency)
            if disagreement is not None:
                self._disagreement.add(disagreement)

    def too_late(self) -> None:
        """An action that was too old to be sent when it was ready."""
        with self._lock:
            self.late += 1

    def skip(self, count: int) -> None:
        """Control periods without a step; those before the first step are the start, not a loss."""
        with self._lock:
            self.skipped += count if self.steps else 0

    def restart(self, reason: str) -> None:
        """The history was cleared in the middle of a rollout."""
        with self._lock:
            self.restarts += 1
            self.last_restart = reason

    def rate(self, now: float) -> float:
        """Steps a second lately; 0 before there are any."""
        with self._lock:
            return self._rate.hz_at(now)

    def values(self, now: float) -> dict[str, object]:
        with self._lock:
            windows = {
                "period": self._rate.periods,
                "inference": self._inference,
                "camera_to_command": self._latency,
            }
            quantiles = {
                f"{name}_p{percent}_ms": 1e3 * window.quantile(percent / 100)
                for name, window in windows.items()
                for percent in (50, 99)
            }
            if len(self._disagreement):
                quantiles |= {
                    f"chunk_disagreement_p{percent}": self._disagreement.quantile(percent / 100)
                    for percent in (50, 99)
                }
            counts = {"steps": self.steps, "skipped": self.skipped, "late": self.late}
            return (
                {"rate_hz": self._rate.hz_at(now)}
                | quantiles
                | counts
                | {"restarts": self.restarts, "last_restart": self.last_restart}
            )
