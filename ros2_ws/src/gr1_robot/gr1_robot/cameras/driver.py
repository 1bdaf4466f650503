"""What a camera must offer: frames with the time of their exposure, for the simulated camera and for real ones."""

from __future__ import annotations

import importlib
import pkgutil
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rclpy.node import Node

from gr1_common.option import Option
from gr1_robot.cameras import drivers
from gr1_robot.cameras.device_clock import Arrival


class SourceError(RuntimeError):
    """A camera that cannot be used as it is asked to: the node ends."""


class Unplugged(SourceError):
    """A camera that is not there, or no longer: the node opens it again, with back-off. The text names it: the status shows it as it is."""


class Ended(SourceError):
    """A recording that is played back is over: the node says so and stays silent from then on."""


class Frame(NamedTuple):
    """stamp: exposure, int nanoseconds of the node's clock; image u8[H, W, 3] RGB; intrinsics f64[3, 3] in pixels.

    distortion: plumb_bob's k1, k2, t1, t2, k3, or rational_polynomial's eight coefficients.
    """

    stamp: int
    image: np.ndarray
    intrinsics: np.ndarray
    distortion: tuple[float, ...] = (0.0,) * 5


class Source(ABC):
    """One camera. It is made in the node's main thread; open, read and close are called from one thread of the camera's own.

    A module of gr1_robot.cameras has the class `Camera` and OPTIONS, its settings: the node's parameters `<module>.<name>`.
    rate_hz: what is asked for; `open` sets it to the rate of its own that the camera uses, which is never less.
    """

    def __init__(self, node: Node, role: str, width: int, height: int, rate_hz: float, settings: dict):
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
        """Makes the camera ready; may be called again after `close`. Raises Unplugged or SourceError, saying what to do."""

    @abstractmethod
    def read(self, timeout: float) -> Frame | None:
        """The next frame, of the size asked for, or None when none has come within `timeout` seconds. Never the same frame twice.

        Raises Unplugged, Ended.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of the camera; may be called twice."""

    @abstractmethod
    def describe(self) -> str:
        """What is open, for a person: model, serial number, firmware, and where the frames' stamps come from."""

    def arrival(self) -> Arrival:
        """Now, on the three clocks that a device_clock.DeviceClock works with."""
        return Arrival(time.monotonic_ns(), self.node.get_clock().now().nanoseconds, time.time_ns())

    def values(self) -> dict[str, object]:
        """Figures of this camera's own for /diagnostics; called in the executor's thread."""
        return {}

    def warning(self) -> str:
        """What is wrong although frames come, for a person; empty when nothing is. Called in the executor's thread."""
        return ""

    def set(self, option: str, value) -> None:
        """A live option has another value from now on; called in the executor's thread."""

    @abstractmethod
    def waits_for(self) -> str:
        """What is missing when no frame comes, in words for a person."""


def names() -> list[str]:
    """Every source there is: the modules of gr1_robot.cameras.drivers."""
    return sorted(module.name for module in pkgutil.iter_modules(drivers.__path__))


def options(name: str) -> Sequence[Option]:
    """The settings of the source `name`."""
    return _module(name).OPTIONS


def load(name: str, *args, **kwargs) -> Source:
    """The source `name`, not yet open."""
    return _module(name).Camera(*args, **kwargs)


def _module(name: str):
    return importlib.import_module(f"{drivers.__name__}.{name}")
