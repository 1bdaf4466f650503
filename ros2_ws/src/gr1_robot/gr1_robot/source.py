"""What a camera must offer: frames with the time of their exposure, for the simulated camera and for real ones."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from rclpy.node import Node

from gr1_robot import sources


class SourceError(RuntimeError):
    """A camera that cannot be opened or read."""


class Frame(NamedTuple):
    """stamp: exposure, int nanoseconds of the node's clock; image u8[H, W, 3] RGB; intrinsics f64[3, 3] in pixels."""

    stamp: int
    image: np.ndarray
    intrinsics: np.ndarray


class Source(ABC):
    """One camera. It is made in the node's main thread; open, read and close are called from one thread of the camera's own."""

    def __init__(self, node: Node, role: str, width: int, height: int, rate_hz: float):
        self.node, self.role, self.width, self.height, self.rate_hz = node, role, width, height, rate_hz

    @abstractmethod
    def open(self) -> None:
        """Makes the camera ready. Raises SourceError, saying what to do."""

    @abstractmethod
    def read(self, timeout: float) -> Frame | None:
        """The next frame, or None when none has come within `timeout` seconds. Never the same frame twice."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the camera; may be called twice."""

    @abstractmethod
    def waits_for(self) -> str:
        """What is missing when no frame comes, in words for a person."""


def names() -> list[str]:
    """Every source there is: the modules of gr1_robot.sources."""
    return sorted(module.name for module in pkgutil.iter_modules(sources.__path__))


def load(name: str, *args, **kwargs) -> Source:
    """The source `name`, not yet open."""
    return importlib.import_module(f"{sources.__name__}.{name}").Camera(*args, **kwargs)
