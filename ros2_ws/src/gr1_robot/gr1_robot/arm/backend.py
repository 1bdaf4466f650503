"""What an arm must offer: one small interface in SI units and the arm's base frame (REP 103), for the simulated arm and for real ones."""

from __future__ import annotations

import importlib
import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gr1_common.option import Option
from gr1_core.rig import Rig, RigError
from gr1_robot.arm import drivers

REST_S = 0.25
"""s: the longest that an arm may move after its last command (docs/explanation/safety.md)."""


class BackendError(RuntimeError):
    """An arm that cannot be reached or used."""


class Pose(NamedTuple):
    """position f64[3] in m, quaternion f64[4] xyzw: the point between the fingertips in the base frame."""

    position: np.ndarray
    quaternion: np.ndarray


@dataclass(frozen=True)
class ArmState:
    """measured: where the arm is; commanded: where its controller has been asked to hold it; None when the arm does not say.

    joints f64[n] rad, joint_velocities f64[n] rad/s, closure 0 open .. 1 closed (measured). at: s on the steady clock, when it was
    measured. force f64[3] N and torque f64[3] Nm that act on the hand from outside, base frame; None where the arm reports none.
    """

    measured: Pose | None
    commanded: Pose | None
    joints: np.ndarray
    joint_velocities: np.ndarray
    closure: float
    at: float
    force: np.ndarray | None = None
    torque: np.ndarray | None = None


class Ceilings(NamedTuple):
    """The fastest that an arm's vendor allows, m/s, rad/s, m/s2, rad/s2, under the names of the rig's limits; infinite: not stated."""

    linear_speed: float = math.inf
    angular_speed: float = math.inf
    linear_acceleration: float = math.inf
    angular_acceleration: float = math.inf


class Backend(ABC):
    """One arm. The arm node calls these one at a time; `twist` is called once every 10 ms while connected.

    Nothing here moves the arm but `twist`, `gripper` and `start_homing`; `connect` and `clear_faults` leave it where it is. An arm
    that is lost is looked for in a thread of the backend's own; until it is back, `faults` says so and `state` has no poses.
    A module of gr1_robot.arm.drivers has the class `Arm` and OPTIONS, its settings; they become the node's parameters `<module>.<name>`.
    """

    joint_names: Sequence[str]
    joint_limits: np.ndarray
    """f64[n, 2] rad: lowest and highest angle of each joint; infinite for a joint that turns without end."""
    ceilings: Ceilings | None = None
    """None: the vendor states none."""
    homing = ""
    """"needed": the arm refuses Cartesian commands until its own controller has moved it home; "running"; "" for all else."""

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
    def hold_gripper(self) -> None:
        """The fingers stay where they are now, whatever was asked before; what they hold they go on holding."""

    @abstractmethod
    def stop(self) -> None:
        """Rest now, whatever was asked before: the last resort when the loop itself fails."""

    @abstractmethod
    def home(self) -> Pose:
        """Where home is. The arm node drives there through the gate."""

    @abstractmethod
    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        """f64[6, n]: velocity of the point between the fingertips (m/s, then rad/s, base frame) for one rad/s of each joint."""

    @abstractmethod
    def describe(self) -> str:
        """What is connected, for a person: model, serial number, firmware."""

    def values(self) -> dict[str, object]:
        """Figures of the driver for `arm: backend` on /diagnostics. Returns at once; called beside all else, without the lock."""
        return {}

    def set(self, option: str, value) -> None:
        """A live option has another value from now on."""

    def start_homing(self) -> None:
        """Lets the arm's own controller move it home, where that is `homing`: "needed". Returns at once; `stop` ends it."""

    def clear_faults(self) -> None:
        """Asks the arm to forget faults that have passed. Raises BackendError if it cannot."""

    @abstractmethod
    def faults(self) -> list[str]:
        """What is wrong with the arm at this moment, in words; empty when it may move."""


def names() -> list[str]:
    """Every backend there is: the packages of gr1_robot.arm.drivers."""
    return sorted(module.name for module in pkgutil.iter_modules(drivers.__path__))


def options(name: str) -> Sequence[Option]:
    """The settings of the backend `name`. Raises BackendError for an unknown name."""
    return _module(name).OPTIONS


def load(name: str, rig: Rig, settings: dict) -> Backend:
    """The backend `name`, not yet connected. settings: its options by name. Raises BackendError for an unknown name."""
    return _module(name).Arm(rig, **settings)


def require_allowed(rig: Rig, ceilings: Ceilings | None) -> None:
    """Raises RigError for limits beyond the vendor's and for a stop that would take longer than REST_S."""
    for name, ceiling in (ceilings or Ceilings())._asdict().items():
        value = getattr(rig.limits, name)
        if value > ceiling:
            raise RigError(
                f"rig '{rig.name}': limits.{name} is {value:g}, but this arm's vendor allows at most {ceiling:g}: lower it"
            )
    rest = 1.5 * rig.period + rig.limits.stop_time
    if rest > REST_S + 1e-9:
        raise RigError(
            f"rig '{rig.name}': with control_hz {rig.control_hz:g} and limits.stop_time {rig.limits.stop_time:g} an arm without commands "
            f"comes to rest after {rest:.2f} s (1.5 periods and stop_time), allowed are {REST_S:g} s: raise control_hz or lower stop_time"
        )


def _module(name: str):
    if name not in names():
        raise BackendError(f"no arm backend '{name}': there are {', '.join(names())}")
    return importlib.import_module(f"{drivers.__name__}.{name}.backend")
