"""A periodic loop in a thread of its own, on the steady clock. ROS-free."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gr1_common.timing import RateMeter


class Loop:
    """Calls step(now) every `period` seconds; now: s on the steady clock.

    Missed periods are counted in `missed` and never made up for by a burst of calls. longest: s, the longest
    time between two calls since the start, without deliberate delays.
    on_failure(error) is called in the loop's thread when a step raises; the loop has ended then.
    """

    def __init__(
        self,
        step: Callable[[float], None],
        period: float,
        on_failure: Callable[[Exception], None],
        name: str = "loop",
    ):
        self._step, self._period, self._on_failure = step, period, on_failure
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._anchored = False
        self.rate = RateMeter()
        self.missed, self.longest = 0, 0.0

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def end(self, timeout: float = 1.0) -> None:
        """Ends after the current step; a step that hangs is left behind after `timeout` s. May be called
        twice.
        """
        self._ending.set()
        if self.alive and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def restart_timing(self) -> None:
        """The current step was delayed on purpose (a new scene): count no missed periods, start a new time
        grid.
        """
        self._anchored = False

    def _run(self) -> None:
        due = before = 0.0
        try:
            while not self._ending.is_set():
                now = time.monotonic()
                if not self._anchored:
                    self._anchored, due, before = True, now, now
                self.longest, before = max(self.longest, now - before), now
                self.rate.tick(now)
                self._step(now)
                due += self._period
                late = time.monotonic() - due
                if late >= 0:
                    skipped = int(late / self._period) + 1
                    if self._anchored:
                        self.missed += skipped
                    due += skipped * self._period
                time.sleep(max(due - time.monotonic(), 0.0))
        except Exception as error:
            self._on_failure(error)
