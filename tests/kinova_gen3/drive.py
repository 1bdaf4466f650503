"""The arm node's part, without ROS: it asks the state and gives the twist every 10 ms."""

from __future__ import annotations

import threading

import numpy as np


class Drive:
    """Drives until it is left; `twist` may be changed meanwhile. On leaving it asks for rest, unless `freeze`
    was called.
    """

    def __init__(self, backend, linear=(0.0, 0.0, 0.0), angular=(0.0, 0.0, 0.0)):
        self.backend, self.twist = backend, (np.array(linear, float), np.array(angular, float))
        self._ending, self._frozen = threading.Event(), False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._ending.wait(0.01):
            self.backend.read_state()
            self.backend.send_twist(*self.twist)

    def freeze(self) -> None:
        """The loop stands still from now on, in motion."""
        self._frozen = True
        self._ending.set()
        self._thread.join()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()
        if not self._frozen:
            self.backend.send_twist(np.zeros(3), np.zeros(3))
