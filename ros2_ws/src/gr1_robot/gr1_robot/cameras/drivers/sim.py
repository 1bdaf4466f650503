"""The simulated camera: draws the newest simulator state that arrives on sim/state, at most once each; its faults can be rehearsed."""

from __future__ import annotations

import threading
import time
from collections import deque

import cv2
import numpy as np
from sensor_msgs.msg import JointState

from gr1_common.messages import nanoseconds
from gr1_common.option import Option
from gr1_common.qos import SENSOR
from gr1_robot.cameras.driver import Frame, Source, SourceError, Unplugged

FAULTS = {
    "none": "a healthy camera",
    "drop_out": "no frame comes any more",
    "freeze": "the same picture again and again, each time with a fresh stamp",
    "repeat": "the same frame again and again, its stamp too",
    "late": "each frame comes `delay_s` after its exposure",
    "disconnect": "the cable is pulled",
    "black": "something covers the lens: a dark picture with a sensor's noise",
    "bump": "the camera has been knocked: the picture is turned and shifted",
}
"""What the parameter `sim.fault` of a simulated camera may be, and what happens then."""

OPTIONS = (
    Option("fault", "none", "A fault to rehearse: " + "; ".join(f"{kind}: {what}" for kind, what in FAULTS.items()) + ".",
           choices=tuple(FAULTS), live=True),
    Option("delay_s", 0.5, "How late a frame of a camera with the fault 'late' comes, s.", low=0.0, high=10.0, live=True),
)  # fmt: skip
_ALIVE_S = 0.1  # five periods of sim/state
_DARK = 8  # the brightest noise under a covered lens, of 255
_TURN_DEGREES, _SHIFT = 6.0, 0.06  # of a knocked camera; the shift as a part of the picture's width


class Camera(Source):
    """The exposure time of a frame is the stamp of the state that it shows. No new state, no frame: a dead stream must look dead."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._arrival = threading.Condition()
        self._newest: JointState | None = None
        self._due = self._arrived = 0.0
        self._renderer = None
        self._noise = np.random.default_rng(0)
        self._last: Frame | None = None  # as the lens saw it
        self._held: deque[tuple[float, Frame]] = deque()
        self.node.create_subscription(JointState, "sim/state", self._on_state, SENSOR)

    def open(self) -> None:
        self._require_plugged()
        from gr1_core.sim import Renderer  # MuJoCo and OpenGL: only the simulated camera needs them

        try:
            self._renderer = Renderer(self.role, self.width, self.height)
        except RuntimeError as error:
            raise SourceError(str(error)) from error
        self._due = time.monotonic()

    def read(self, timeout: float) -> Frame | None:
        self._require_plugged()
        time.sleep(max(self._due - time.monotonic(), 0.0))
        with self._arrival:
            if not self._arrival.wait_for(lambda: self._newest is not None, timeout):
                return None
            msg, self._newest = self._newest, None
        # The beat goes on from where it was due, so that the mean rate holds; after a gap it starts anew.
        period, now = 1.0 / self.rate_hz, time.monotonic()
        self._due = self._due + period if now - self._due < period else now + period
        return self._expose(
            nanoseconds(msg.header.stamp), np.frombuffer(msg.position, np.float64), self.settings["fault"]
        )

    def close(self) -> None:
        if self._renderer:
            self._renderer.close()
            self._renderer = None

    def describe(self) -> str:
        return "simulated camera; stamps are those of the state that it shows"

    def set(self, option: str, value) -> None:
        self.settings[option] = value

    def waits_for(self) -> str:
        fault, delay = self.settings["fault"], self.settings["delay_s"]
        if fault != "none":
            return f"rehearsed fault '{fault}': {FAULTS[fault].replace('`delay_s`', f'{delay:g} s')}"
        if time.monotonic() - self._arrived < _ALIVE_S:
            return "sim/state arrives, but pictures are drawn too late: the computer is too busy"
        return "no new sim/state arrives: is the arm node running with robot:=sim?"

    def _expose(self, stamp: int, state: np.ndarray, fault: str) -> Frame | None:
        """The frame of one state as this fault shows it, if it shows one now."""
        if fault == "drop_out":
            return None
        if fault == "freeze" and self._last is not None:
            return Frame(stamp, self._last.image, self._last.intrinsics)
        if fault == "repeat" and self._last is not None:
            return self._last
        image = self._renderer.render(state)
        self._last = Frame(stamp, image, self._renderer.intrinsics)
        if fault == "black":
            image = self._noise.integers(0, _DARK, image.shape, np.uint8)
        elif fault == "bump":
            image = _knocked(image)
        frame = Frame(stamp, image, self._renderer.intrinsics)
        if fault != "late":
            self._held.clear()
            return frame
        now = time.monotonic()
        self._held.append((now + self.settings["delay_s"], frame))
        return self._held.popleft()[1] if self._held[0][0] <= now else None

    def _require_plugged(self) -> None:
        if self.settings["fault"] == "disconnect":
            raise Unplugged(f"camera '{self.role}' is not there: {self.waits_for()}")

    def _on_state(self, msg: JointState) -> None:
        with self._arrival:
            self._newest, self._arrived = msg, time.monotonic()
            self._arrival.notify()


def _knocked(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), _TURN_DEGREES, 1.0)
    turn[0, 2] += _SHIFT * width
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
