"""What an arm must offer: one small interface in SI units and the arm's base frame (REP 103), for the simulated arm and for real ones."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gr1_core.rig import Rig
from gr1_robot import backends


class BackendError(RuntimeError):
    """An arm that cannot be reached or used."""


class Pose(NamedTuple):
    """position f64[3] in m, quaternion f64[4] xyzw: the point between the fingertips in the base frame."""

    position: np.ndarray
    quaternion: np.ndarray


@dataclass(frozen=True)
class ArmState:
    """measured: where the arm is; commanded: where its controller has been asked to hold it; None when the arm does not say.

    joints f64[n] rad, joint_velocities f64[n] rad/s, closure 0 open .. 1 closed (measured).
    """

    measured: Pose | None
    commanded: Pose | None
    joints: np.ndarray
    joint_velocities: np.ndarray
    closure: float


class Backend(ABC):
    """One arm. Only the arm's 100 Hz loop calls these, one at a time; `twist` is called once every 10 ms while connected."""

    joint_names: Sequence[str]

    @abstractmethod
    def connect(self) -> None:
        """Makes the arm ready to take twists. Raises BackendError, saying what to do."""

    @abstractmethod
    def close(self) -> None:
        """Leaves the arm at rest and lets go of it. May be called twice."""

    @abstractmethod
    def state(self) -> ArmState:
        """The newest state."""

    @abstractmethod
    def twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        """Moves the commanded pose by f64[3] m/s and f64[3] rad/s for the next 10 ms. Zero holds it."""

    @abstractmethod
    def gripper(self, closure: float) -> None:
        """0 open .. 1 closed."""

    @abstractmethod
    def stop(self) -> None:
        """Rest now, whatever was asked before: the last resort when the loop itself fails."""

    @abstractmethod
    def home(self) -> Pose:
        """Where home is. The arm node drives there through the gate."""

    @abstractmethod
    def faults(self) -> list[str]:
        """What is wrong with the arm at this moment, in words; empty when it may move."""


def names() -> list[str]:
    """Every backend there is: the modules of gr1_robot.backends."""
    return sorted(module.name for module in pkgutil.iter_modules(backends.__path__))


def load(name: str, rig: Rig, options: dict) -> Backend:
    """The backend `name`, not yet connected. options: the backend's own settings. Raises BackendError for an unknown name."""
    if name not in names():
        raise BackendError(f"no arm backend '{name}': there are {', '.join(names())}")
    return importlib.import_module(f"{backends.__name__}.{name}").Arm(rig, **options)
