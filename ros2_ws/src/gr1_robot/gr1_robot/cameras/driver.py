"""The interface that every camera driver implements: frames with their time of exposure. ROS-free."""

from __future__ import annotations

import importlib
import pkgutil
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gr1_common.option import Option
from gr1_robot.cameras import drivers
from gr1_robot.cameras.device_clock import Arrival


class CameraError(RuntimeError):
    """A camera that cannot be used as requested: the node ends. The text says what to do."""


class Unplugged(CameraError):
    """A camera that is missing, or no longer there: the node reopens it, with back-off. The text names it;
    the status shows it.
    """


class PlaybackEnded(CameraError):
    """A recording has been played to its end: the node reports it and stays silent."""


class Frame(NamedTuple):
    """stamp: exposure, int nanoseconds of the node's clock; image u8[H, W, 3] RGB; intrinsics f64[3, 3] in
    pixels.

    distortion: plumb_bob's k1, k2, t1, t2, k3, or rational_polynomial's eight coefficients.
    """

    stamp: int
    image: np.ndarray
    intrinsics: np.ndarray
    distortion: tuple[float, ...] = (0.0,) * 5


class CameraDriver(ABC):
    """One camera. Constructed in the node's main thread; `open`, `read` and `close` are called from the
    camera's own thread.

    A driver is a module gr1_robot.cameras.drivers.<name> with the class `Camera` and OPTIONS, its settings;
    they become the node's parameters `<name>.<option>`. docs/how-to/add_a_camera.md shows one.

    node: the rclpy Node, for its clock and logger. rate_hz: the requested rate; `open` sets it to the
    camera's own rate, which is never lower.
    """

    def __init__(self, node, role: str, width: int, height: int, rate_hz: float, settings: dict):
        self.node, self.role, self.width, self.height, self.rate_hz, self.settings = (
            node,
            role,
            width,
            height,
            rate_hz,
            settings,
        )

    @abstractmethod
    def open(self) -> None:
        """Makes the camera ready; may be called again after `close`. Raises Unplugged or CameraError, saying
        what to do.
        """

    @abstractmethod
    def read(self, timeout: float) -> Frame | None:
        """The next frame, width x height, or None if none has arrived within `timeout` seconds. Never the
        same frame twice.

        Raises Unplugged, PlaybackEnded.
        """

    @abstractmethod
    def close(self) -> None:
        """Releases the camera; may be called twice."""

    @abstractmethod
    def describe(self) -> str:
        """What is open, for a person: model, serial number, firmware, and the source of the stamps."""

    @abstractmethod
    def missing(self) -> str:
        """Why no frame arrives, in words for a person. Called in the executor's thread."""

    def arrival(self) -> Arrival:
        """Now, on the three clocks that device_clock.DeviceClock uses."""
        return Arrival(time.monotonic_ns(), self.node.get_clock().now().nanoseconds, time.time_ns())

    def diagnostic_values(self) -> dict[str, object]:
        """Figures of this camera for /diagnostics; called in the executor's thread."""
        return {}

    def warning(self) -> str:
        """What is wrong although frames arrive, for a person; "" for nothing. Called in the executor's
        thread.
        """
        return ""

    def set_option(self, option: str, value) -> None:
        """A live option has another value from now on; called in the executor's thread."""


def driver_names() -> list[str]:
    """Every camera driver: the modules of gr1_robot.cameras.drivers."""
    return sorted(module.name for module in pkgutil.iter_modules(drivers.__path__))


def driver_options(name: str) -> Sequence[Option]:
    """The options of the driver `name`."""
    return _module(name).OPTIONS


def load_driver(name: str, *args, **kwargs) -> CameraDriver:
    """The driver `name`, not open yet."""
    return _module(name).Camera(*args, **kwargs)


def _module(name: str):
    return importlib.import_module(f"{drivers.__name__}.{name}")
