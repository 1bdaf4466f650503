"""Outliers among the bags of one folder, found in the background, since each bag must be read once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from gr1_core.data.bag import BagError
from gr1_core.data.bag_figures import FigureCache
from gr1_core.data.outliers import rank_outliers

_NICE = 15
"""Niceness of the reading thread: reading bags must not delay the control loop."""


class EpisodeOutliers:
    """Thread-safe. idle(): whether bags may be read now; it is asked before each bag."""

    def __init__(self, root: Path, idle: Callable[[], bool] = lambda: True):
        self._root, self._idle = root, idle
        self.changed = threading.Condition(threading.RLock())
        """Notified whenever `request` has news."""
        self._wanted: tuple[tuple[str, Path], ...] = ()
        self._found: dict[str, dict] = {}
        self._done = self._total = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def request(self, bags: list[tuple[str, Path]]) -> dict:
        """{outliers: {name: {score, reasons}}, done, total} of these (key, folder), as far as known.

        Starts to read those that are missing. key: changes with the bag's labels.
        """
        with self.changed:
            if tuple(bags) != self._wanted:
                self._wanted = tuple(bags)
                self._done, self._total = 0, len(bags)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="teleop outliers", daemon=True)
                    self._thread.start()
                self.changed.notify_all()
            return {"outliers": dict(self._found), "done": self._done, "total": self._total}

    def close(self) -> None:
        with self.changed:
            self._closed = True
            self.changed.notify_all()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        cache, seen = FigureCache(self._root), None
        while True:
            with self.changed:
                self.changed.wait_for(lambda seen=seen: self._closed or self._wanted != seen)
                if self._closed:
                    return
                seen = self._wanted
            self._read(cache, seen)

    def _read(self, cache: FigureCache, wanted: tuple[tuple[str, Path], ...]) -> None:
        figures, fresh = [], False
        for number, (_, folder) in enumerate(wanted):
            if (known := cache.get(folder)) is None:
                if not self._wait_until_idle(wanted):
                    break
                fresh = True
                try:
                    known = cache.read(folder)
                except (BagError, OSError):
                    continue  # the list of episodes shows why
            figures.append(known)
            with self.changed:
                self._done = min(number + 1, len(wanted) - 1)
                self.changed.notify_all()
        else:
            found = {
                each.name: {"score": each.score, "reasons": list(each.reasons)}
                for each in rank_outliers(figures)
            }
            with self.changed:
                self._found, self._done = found, len(wanted)
                self.changed.notify_all()
        if fresh:
            cache.save([folder for _, folder in wanted])

    def _wait_until_idle(self, wanted) -> bool:
        """False if other bags were requested meanwhile, or everything ends."""
        with self.changed:
            while not self._closed and self._wanted == wanted:
                if self._idle():
                    return True
                self.changed.wait(0.5)
            return False
