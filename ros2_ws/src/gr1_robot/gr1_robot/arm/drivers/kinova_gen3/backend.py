"""A Kinova Gen3 with 7 joints and a Robotiq 2F-85, through the Kortex API. ROS-free.

Guide: docs/how-to/connect_kinova_gen3.md.
"""

from __future__ import annotations

import atexit

import numpy as np

from gr1_common.option import Option
from gr1_core.kinematics import GEN3_CAPSULES, GEN3_GRIP, gen3
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_robot.arm.backend import ArmBackend, ArmError, ArmLimits, ArmState
from gr1_robot.arm.capsules import body_of
from gr1_robot.arm.description import urdf_of
from gr1_robot.arm.drivers.kinova_gen3.driver import JOINTS, Driver
from gr1_robot.arm.drivers.kinova_gen3.session import KortexError, Login

OPTIONS = (
    Option("address", "192.168.1.10", "Address of the arm; the vendor's default."),
    Option("port", 10000, "TCP port of the arm.", low=1, high=65535),
    Option("user", "admin", "User of the arm's session; the vendor's default."),
    Option("password", "admin", "That user's password; the vendor's default."),
    Option(
        "timeout_ms",
        100,
        "How long a twist or a state may take before the arm counts as lost, ms.",
        low=20,
        high=5000,
    ),
    Option(
        "watchdog_ms",
        100,
        "How long the watchdog process waits for a heartbeat while the arm moves before it stops the "
        "arm, ms.",
        low=40,
        high=500,
    ),
    Option(
        "flange_to_fingertips",
        GEN3_GRIP,
        "From the arm's flange to the point between the fingertips, m.",
        low=0.0,
        high=0.4,
    ),
    Option(
        "wrench",
        True,
        "Report the force on the hand that the arm estimates; false where its drift stops the arm.",
    ),
    Option(
        "table_height",
        0.0,
        "Height of the table in the arm's base frame, m. No part of the arm goes below it.",
        low=-2.0,
        high=1.0,
    ),
)

# The hard limits of a twist since firmware 2.2: 50 cm/s and 100 degrees/s (Kinova-kortex2_Gen3_G3L #14). The
# vendor states no acceleration of a twist: the Gen2's, until it is measured on an arm.
_LIMITS = ArmLimits(
    linear_speed=0.5, angular_speed=float(np.radians(100)), linear_braking=0.64, angular_braking=2.75
)
_BEAT_S, _STOP_S = 0.025, 0.010
"""s: between two twists, and from the watchdog's decision until the arm has its Stop."""

HOME = (0, 20, 180, -85, 0, -75, 90)
"""Degrees: the hand points down in front of the base, the wrist camera looks away from the base."""


class Arm(ArmBackend):
    """Conversions are in `units`; everything that takes time runs in the thread of `driver`. Needs no homing
    of its own.
    """

    joint_names = tuple(f"joint_{number}" for number in range(1, JOINTS + 1))

    def __init__(
        self,
        rig: Rig,
        *,
        watchdog_ms: int,
        flange_to_fingertips: float,
        table_height: float,
        wrench: bool,
        **login,
    ):
        self._rig, self._chain = rig, gen3(flange_to_fingertips)
        self.joint_limits, self.joint_speeds = self._chain.limits, self._chain.speeds
        self.body = body_of(rig, self._chain, GEN3_CAPSULES, table_height)
        # It carries its last twist on: until the next one is due, then until the watchdog has stopped it.
        self.vendor_limits = _LIMITS._replace(carries_on=_BEAT_S + watchdog_ms / 1e3 + _STOP_S)
        self.driver = Driver(Login(**login), flange_to_fingertips, watchdog_ms, wrench)

    def connect(self) -> None:
        home, limits = self.home_pose().position, self._rig.limits
        if not (np.all(home >= limits.workspace_min) and np.all(home <= limits.workspace_max)):
            raise ArmError(
                f"rig '{self._rig.name}' does not fit a Gen3: its workspace {list(limits.workspace_min)} .. "
                f"{list(limits.workspace_max)} m does not contain the home position "
                f"{home.round(3).tolist()}; "
                "use rig:=kinova_gen3 or widen it"
            )
        try:
            self.driver.start()
        except KortexError as error:
            raise ArmError(str(error)) from error
        atexit.register(self.close)

    def close(self) -> None:
        self.driver.end()
        atexit.unregister(self.close)

    def read_state(self) -> ArmState:
        return self.driver.state()

    def send_twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        self.driver.send_twist(linear, angular)

    def send_gripper(self, closure: float) -> None:
        self.driver.send_gripper(closure)

    def hold_gripper(self) -> None:
        self.driver.hold_gripper()

    def stop(self) -> None:
        self.driver.stop()

    def home_pose(self) -> Pose:
        return Pose(*self._chain.forward(np.radians(HOME)))

    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        return self._chain.jacobian(joints)

    def urdf(self) -> str:
        return urdf_of("kinova_gen3", self._rig, self.joint_names, self._chain, self.body)

    def describe(self) -> str:
        return self.driver.identity

    def clear_faults(self) -> None:
        try:
            self.driver.clear_faults()
        except KortexError as error:
            raise ArmError(str(error)) from error

    def faults(self) -> list[str]:
        return self.driver.faults()
