"""A Kinova Gen3 with 7 joints and a Robotiq 2F-85, through the Kortex API. ROS-free.

Guide: docs/how-to/connect_kinova_gen3.md.
"""

from __future__ import annotations

import atexit

import numpy as np

from gr1_common.option import Option
from gr1_core.kinematics import GEN3_BODY, GEN3_GRIP, gen3
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_robot.arm.backend import ArmBackend, ArmError, ArmLimits, ArmState, BodyHeights
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
        "Height of the table in the arm's base frame, m. No part of the arm behind the hand goes below it.",
        low=-2.0,
        high=1.0,
    ),
)

HOME = (0, 20, 180, -85, 0, -75, 90)
"""Degrees: the hand points down in front of the base, the wrist camera looks away from the base."""

_PARTS = tuple(point.name for point in GEN3_BODY)


class Arm(ArmBackend):
    """Conversions are in `units`; everything that takes time runs in the thread of `driver`. Needs no homing
    of its own.
    """

    joint_names = tuple(f"joint_{number}" for number in range(1, JOINTS + 1))
    # The hard limits of a twist since firmware 2.2: 50 cm/s and 100 degrees/s (Kinova-kortex2_Gen3_G3L #14).
    vendor_limits = ArmLimits(linear_speed=0.5, angular_speed=float(np.radians(100)))

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
        self._rig, self._chain, self._table = rig, gen3(flange_to_fingertips), table_height
        self.joint_limits = self._chain.limits
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

    def body_heights(self, joints: np.ndarray) -> BodyHeights:
        lowest, change = self._chain.heights(joints, GEN3_BODY)
        return BodyHeights(_PARTS, lowest - self._table, change)

    def describe(self) -> str:
        return self.driver.identity

    def clear_faults(self) -> None:
        try:
            self.driver.clear_faults()
        except KortexError as error:
            raise ArmError(str(error)) from error

    def faults(self) -> list[str]:
        return self.driver.faults()
