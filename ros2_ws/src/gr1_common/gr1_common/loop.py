"""A loop of its own thread, locked to the steady clock. No ROS import."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gr1_common.timing import Rate


class Loop:
    """Calls step(now) every `period` seconds. A step that comes late is late: missed periods are counted, never caught up in a burst.

    failed(error) is called in the loop's thread when a step raises; the loop has ended then.
    """

    def __init__(
        self,
        step: Callable[[float], None],
        period: float,
        failed: Callable[[Exception], None],
        name: str = "loop",
    ):
        self._step, self._period, self._failed = step, period, failed
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._anchored = False
        self.rate = Rate()
        self.missed = 0

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def end(self, timeout: float = 1.0) -> None:
        """Ends after the step that is running, or leaves a step that hangs behind after `timeout` s; may be called twice."""
        self._ending.set()
        if self.alive and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def excuse(self) -> None:
        """The step that is running has been held up on purpose (a new scene): count nothing as missed and start a new beat."""
        self._anchored = False

    def _run(self) -> None:
        due = 0.0
        try:
            while not self._ending.is_set():
                now = time.monotonic()
                if not self._anchored:
                    self._anchored, due = True, now
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
            self._failed(error)
