"""The interface that every arm driver implements: SI units, the arm's base frame (REP 103). ROS-free."""

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
from gr1_core.pose import Pose
from gr1_core.rig import Rig, RigError
from gr1_robot.arm import drivers
from gr1_robot.arm.capsules import Body

MAX_REST_TIME = 0.25
"""s: the longest that an arm may move after its last command (docs/explanation/safety.md)."""


class ArmError(RuntimeError):
    """An arm that cannot be reached or used. The text says what to do."""


@dataclass(frozen=True)
class ArmState:
    """measured: where the arm is; commanded: the pose that its controller holds; None where the arm does not
    report it.

    Poses are those of the tool center point, the point between the fingertips. joints f64[n] rad,
    joint_velocities f64[n] rad/s, closure 0 open .. 1 closed (measured). at: s on the steady clock, when it
    was measured. force f64[3] N and torque f64[3] Nm that act on the hand from outside, base frame; None
    where the arm reports none.
    """

    measured: Pose | None
    commanded: Pose | None
    joints: np.ndarray
    joint_velocities: np.ndarray
    closure: float
    at: float
    force: np.ndarray | None = None
    torque: np.ndarray | None = None


class ArmLimits(NamedTuple):
    """The vendor's limits of an arm, m/s, rad/s, m/s2, rad/s2; infinite: not stated.

    The first four are named as the rig's limits, which may not exceed them. linear_braking, angular_braking:
    how hard the arm can brake; the gate counts the distance to every limit from them. carries_on: s, how long
    the arm goes on with its last twist when no new one comes.
    """

    linear_speed: float = math.inf
    angular_speed: float = math.inf
    linear_acceleration: float = math.inf
    angular_acceleration: float = math.inf
    linear_braking: float = math.inf
    angular_braking: float = math.inf
    carries_on: float = 0.0


NO_LIMITS = ArmLimits()
_RIG_LIMITS = ("linear_speed", "angular_speed", "linear_acceleration", "angular_acceleration")


class ArmBackend(ABC):
    """One arm. The arm node calls these methods one at a time; `send_twist` once every 10 ms while connected.

    Only `send_twist`, `send_gripper` and `start_homing` move the arm; `connect` and `clear_faults` leave it
    where it is. A lost arm is searched for in a thread of the driver; until it is back, `faults` says so and
    `read_state` has no poses.

    A driver is a package gr1_robot.arm.drivers.<name> with a module `backend`, which has the class `Arm` and
    OPTIONS, its settings; they become the node's parameters `<name>.<option>`. docs/how-to/add_an_arm.md
    shows one.
    """

    joint_names: Sequence[str]
    joint_limits: np.ndarray
    """f64[n, 2] rad: lowest and highest angle of each joint; infinite for a continuous joint."""
    joint_speeds: np.ndarray | None = None
    """f64[n] rad/s: the vendor's limits; None: none are stated."""
    vendor_limits: ArmLimits | None = None
    """None: the vendor states none."""
    body: Body | None = None
    """The arm's parts and what they must not touch; None: the gate does not watch them."""
    homing = ""
    """"needed": the arm refuses Cartesian commands until its own controller has homed it; "running": it
    homes; "" otherwise.
    """

    @abstractmethod
    def connect(self) -> None:
        """Makes the arm ready to take twists. Raises ArmError, saying what to do."""

    @abstractmethod
    def close(self) -> None:
        """Leaves the arm at rest and disconnects. May be called twice."""

    @abstractmethod
    def read_state(self) -> ArmState:
        """The newest state. Returns at once."""

    @abstractmethod
    def send_twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        """Moves the commanded pose by f64[3] m/s and f64[3] rad/s for the next 10 ms. Zero holds it."""

    @abstractmethod
    def send_gripper(self, closure: float) -> None:
        """0 open .. 1 closed."""

    @abstractmethod
    def hold_gripper(self) -> None:
        """The fingers stay where they are, whatever was commanded before; a held object stays held."""

    @abstractmethod
    def stop(self) -> None:
        """Rest now, whatever was commanded before: the last resort when the loop itself fails."""

    @abstractmethod
    def home_pose(self) -> Pose:
        """The home position. The arm node moves there through the gate."""

    @abstractmethod
    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        """f64[6, n]: velocity of the tool center point (m/s, then rad/s, base frame) for one rad/s of each
        joint.
        """

    def urdf(self) -> str:
        """The arm's URDF for viewers; "": the arm's own bringup publishes it, or there is none."""
        return ""

    @abstractmethod
    def describe(self) -> str:
        """What is connected, for a person: model, serial number, firmware."""

    @abstractmethod
    def faults(self) -> list[str]:
        """What is wrong with the arm at this moment, in words; empty when it may move."""

    def diagnostic_values(self) -> dict[str, object]:
        """The driver's figures for `arm: backend` on /diagnostics. Returns at once; called without
        the lock.
        """
        return {}

    def set_option(self, option: str, value) -> None:
        """A live option has another value from now on."""

    def start_homing(self) -> None:
        """Lets the arm's own controller home it, where `homing` is "needed". Returns at once; `stop`
        ends it.
        """

    def clear_faults(self) -> None:
        """Requests a reset of faults whose cause is gone. Raises ArmError if that fails."""


def backend_names() -> list[str]:
    """Every arm driver: the packages of gr1_robot.arm.drivers."""
    return sorted(module.name for module in pkgutil.iter_modules(drivers.__path__))


def backend_options(name: str) -> Sequence[Option]:
    """The options of the driver `name`. Raises ArmError for an unknown name."""
    return _module(name).OPTIONS


def load_backend(name: str, rig: Rig, settings: dict) -> ArmBackend:
    """The driver `name`, not connected yet. settings: its options by name. Raises ArmError for an unknown
    name.
    """
    return _module(name).Arm(rig, **settings)


def check_rig_limits(rig: Rig, vendor_limits: ArmLimits | None) -> None:
    """Raises RigError for limits beyond the vendor's, and for a rig with which a stop takes longer than
    MAX_REST_TIME.
    """
    for name in _RIG_LIMITS:
        ceiling, value = getattr(vendor_limits or NO_LIMITS, name), getattr(rig.limits, name)
        if value > ceiling:
            raise RigError(
                f"rig '{rig.name}': limits.{name} is {value:g}, but this arm's vendor allows at most "
                f"{ceiling:g}: lower it"
            )
    rest = 1.5 * rig.period + rig.limits.stop_time
    if rest > MAX_REST_TIME + 1e-9:
        raise RigError(
            f"rig '{rig.name}': with control_hz {rig.control_hz:g} and limits.stop_time "
            f"{rig.limits.stop_time:g} an arm without "
            f"commands comes to rest after {rest:.2f} s (1.5 periods and stop_time), allowed are "
            f"{MAX_REST_TIME:g} s: "
            "raise control_hz or lower stop_time"
        )


def _module(name: str):
    if name not in backend_names():
        raise ArmError(f"no arm driver '{name}': there are {', '.join(backend_names())}")
    return importlib.import_module(f"{drivers.__name__}.{name}.backend")
