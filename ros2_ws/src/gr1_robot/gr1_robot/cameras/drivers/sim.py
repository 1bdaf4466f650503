"""The simulated camera: renders the newest state from sim/state, each state at most once; faults can be
injected.
"""

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
from gr1_robot.cameras.driver import CameraDriver, CameraError, Frame, Unplugged

FAULTS = {
    "none": "a healthy camera",
    "drop_out": "no more frames",
    "freeze": "the same image again and again, each time with a new stamp",
    "repeat": "the same frame again and again, its stamp too",
    "late": "each frame arrives `delay_s` after its exposure",
    "disconnect": "the cable is pulled",
    "black": "the lens is covered: a dark image with sensor noise",
    "bump": "the camera was bumped: the image is rotated and shifted",
}
"""Values of the parameter `sim.fault` of a simulated camera, and what each does."""

OPTIONS = (
    Option(
        "fault",
        "none",
        "Fault to inject: " + "; ".join(f"{kind}: {text}" for kind, text in FAULTS.items()) + ".",
        choices=tuple(FAULTS),
        live=True,
    ),
    Option("delay_s", 0.5, "Delay of a frame with the fault 'late', s.", low=0.0, high=10.0, live=True),
)
_STATE_FRESH_S = 0.1  # five periods of sim/state
_DARK = 8  # brightest noise under a covered lens, of 255
_BUMP_DEGREES, _BUMP_SHIFT = 6.0, 0.06  # the shift as a share of the image width


class Camera(CameraDriver):
    """A frame's exposure is the stamp of the state that it shows. No new state, no frame: a dead stream must
    look dead.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._new_state = threading.Condition()
        self._newest: JointState | None = None
        self._due = self._state_at = 0.0
        self._renderer = None
        self._noise = np.random.default_rng(0)
        self._last: Frame | None = None  # before the fault
        self._delayed: deque[tuple[float, Frame]] = deque()
        self.node.create_subscription(JointState, "sim/state", self._on_state, SENSOR)

    def open(self) -> None:
        self._require_connected()
        from gr1_core.sim import Renderer  # MuJoCo and OpenGL: only the simulated camera needs them

        try:
            self._renderer = Renderer(self.role, self.width, self.height)
        except RuntimeError as error:
            raise CameraError(str(error)) from error
        self._due = time.monotonic()

    def read(self, timeout: float) -> Frame | None:
        self._require_connected()
        time.sleep(max(self._due - time.monotonic(), 0.0))
        with self._new_state:
            if not self._new_state.wait_for(lambda: self._newest is not None, timeout):
                return None
            msg, self._newest = self._newest, None
        # The time grid continues where the frame was due, so that the mean rate holds; after a gap it starts
        # anew.
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
        return "simulated camera; stamps are those of the states shown"

    def set_option(self, option: str, value) -> None:
        self.settings[option] = value

    def missing(self) -> str:
        fault, delay = self.settings["fault"], self.settings["delay_s"]
        if fault != "none":
            return f"injected fault '{fault}': {FAULTS[fault].replace('`delay_s`', f'{delay:g} s')}"
        if time.monotonic() - self._state_at < _STATE_FRESH_S:
            return "sim/state arrives, but images are rendered too late: the computer is too busy"
        return "no new sim/state arrives: is the arm node running with robot:=sim?"

    def _expose(self, stamp: int, state: np.ndarray, fault: str) -> Frame | None:
        """The frame of one state as this fault changes it; None if there is none now."""
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
            image = _bump(image)
        frame = Frame(stamp, image, self._renderer.intrinsics)
        if fault != "late":
            self._delayed.clear()
            return frame
        now = time.monotonic()
        self._delayed.append((now + self.settings["delay_s"], frame))
        return self._delayed.popleft()[1] if self._delayed[0][0] <= now else None

    def _require_connected(self) -> None:
        if self.settings["fault"] == "disconnect":
            raise Unplugged(f"camera '{self.role}' is missing: {self.missing()}")

    def _on_state(self, msg: JointState) -> None:
        with self._new_state:
            self._newest, self._state_at = msg, time.monotonic()
            self._new_state.notify()


def _bump(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), _BUMP_DEGREES, 1.0)
    turn[0, 2] += _BUMP_SHIFT * width
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
