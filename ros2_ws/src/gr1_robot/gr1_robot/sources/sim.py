"""The simulated camera: draws the newest simulator state that arrives on sim/state, at most once each."""

from __future__ import annotations

import threading
import time

import numpy as np
from sensor_msgs.msg import JointState

from gr1_robot.messages import nanoseconds
from gr1_robot.qos import SENSOR
from gr1_robot.source import Frame, Source, SourceError

OPTIONS = ()
_ALIVE_S = 0.1  # five periods of sim/state


class Camera(Source):
    """The exposure time of a frame is the stamp of the state that it shows. No new state, no frame: a dead stream must look dead."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._arrival = threading.Condition()
        self._newest: JointState | None = None
        self._due = self._arrived = 0.0
        self._renderer = None
        self.node.create_subscription(JointState, "sim/state", self._on_state, SENSOR)

    def open(self) -> None:
        from gr1_core.sim import Renderer  # MuJoCo and OpenGL: only the simulated camera needs them

        try:
            self._renderer = Renderer(self.role, self.width, self.height)
        except RuntimeError as error:
            raise SourceError(str(error)) from error
        self._due = time.monotonic()

    def read(self, timeout: float) -> Frame | None:
        time.sleep(max(self._due - time.monotonic(), 0.0))
        with self._arrival:
            if not self._arrival.wait_for(lambda: self._newest is not None, timeout):
                return None
            msg, self._newest = self._newest, None
        # The beat goes on from where it was due, so that the mean rate holds; after a gap it starts anew.
        period, now = 1.0 / self.rate_hz, time.monotonic()
        self._due = self._due + period if now - self._due < period else now + period
        state = np.frombuffer(msg.position, np.float64)
        return Frame(nanoseconds(msg.header.stamp), self._renderer.render(state), self._renderer.intrinsics)

    def close(self) -> None:
        if self._renderer:
            self._renderer.close()
            self._renderer = None

    def describe(self) -> str:
        return "simulated camera; stamps are those of the state that it shows"

    def waits_for(self) -> str:
        if time.monotonic() - self._arrived < _ALIVE_S:
            return "sim/state arrives, but pictures are drawn too late: the computer is too busy"
        return "no new sim/state arrives: is the arm node running with robot:=sim?"

    def _on_state(self, msg: JointState) -> None:
        with self._arrival:
            self._newest, self._arrived = msg, time.monotonic()
            self._arrival.notify()
