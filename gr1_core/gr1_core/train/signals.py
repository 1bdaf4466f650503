"""SIGTERM and SIGINT end a run after the current step, with its state saved."""

from __future__ import annotations

import signal


class StopSignal:
    """`with StopSignal() as stop:` the first signal sets stop.signal, the second ends the program at once."""

    def __init__(self):
        self.signal = 0
        self._before = {}

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame) -> None:
        self.signal = number
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)
