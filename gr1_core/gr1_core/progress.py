"""Progress on stderr: a bar on a terminal; elsewhere whole lines, at most one every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

LINE_EVERY_S = 10.0


class ProgressBar:
    """A context manager. what: such as "playing". done: what an earlier run has finished."""

    def __init__(self, what: str, total: int, done: int = 0):
        self._bar = self._task = None
        self._lines = ProgressLines(what, total, done)
        self._done = done
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        # The bar shrinks, so that the note fits into 80 columns.
        columns = (TextColumn(what), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True))
        self._task = self._bar.add_task("", total=total, completed=done)

    def advance(self, note: str = "", to: int | None = None) -> None:
        """One more is done, or `to` of all. note: a figure or two."""
        self._done = self._done + 1 if to is None else to
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=note)
        else:
            self._lines.show(self._done, note)

    def resume(self, done: int) -> None:
        """What an earlier run has finished, where it is known only now: it does not count for the rate."""
        self._done = done
        self._lines.resume(done)
        if self._bar is not None:
            self._bar.reset(self._task, completed=done)

    def __enter__(self) -> ProgressBar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.stop()


class ProgressLines:
    """Lines such as "playing: 12 of 60, 11 successes; 41 s, about 164 s left"."""

    def __init__(
        self, what: str, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic, stream=None
    ):
        self._what, self._total, self._before, self._clock = what, total, done, clock
        self._began = self._shown = clock()
        self._stream = stream

    def resume(self, done: int) -> None:
        """`done` before the rate is measured from now on."""
        self._before, self._began = done, self._clock()

    def show(self, done: int, note: str = "") -> None:
        """Prints a line if the last one is old enough."""
        now = self._clock()
        if now - self._shown < LINE_EVERY_S or done <= self._before:
            return
        self._shown = now
        seconds = now - self._began
        left = seconds / (done - self._before) * (self._total - done)
        extra = f", {note}" if note else ""
        line = f"{self._what}: {done} of {self._total}{extra}; {seconds:.0f} s, about {left:.0f} s left"
        print(line, file=self._stream or sys.stderr, flush=True)
