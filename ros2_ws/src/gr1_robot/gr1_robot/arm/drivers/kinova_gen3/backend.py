"""Kinova Gen3 with a Robotiq 2F-85 through the Kortex API (docs/how-to/connect_an_arm.md): see gr1_robot.arm.drivers.kinova_gen3 for what happens in it."""

from __future__ import annotations

import atexit

import numpy as np

from gr1_common.option import Option
from gr1_core.kinematics import GEN3_GRIP, gen3
from gr1_core.rig import Rig
from gr1_robot.arm.backend import ArmState, Backend, BackendError, Ceilings, Pose
from gr1_robot.arm.drivers.kinova_gen3.driver import JOINTS, Link
from gr1_robot.arm.drivers.kinova_gen3.session import KortexError, Login

OPTIONS = (
    Option("address", "192.168.1.10", "Address of the arm; the vendor's default."),
    Option("port", 10000, "TCP port of the arm.", low=1, high=65535),
    Option("user", "admin", "User of the arm's session; the vendor's default."),
    Option("password", "admin", "That user's password; the vendor's default."),
    Option(
        "timeout_ms",
        100,
        "How long a twist or a state may take before the arm counts as lost.",
        low=20,
        high=5000,
    ),
    Option(
        "guard_ms",
        100,
        "How long the guardian process waits for a heartbeat while the arm moves, then stops it.",
        low=40,
        high=500,
    ),
    Option(
        "grip", GEN3_GRIP, "m from the arm's flange to the point between the fingertips.", low=0.0, high=0.4
    ),
    Option(
        "wrench",
        True,
        "Report the force on the hand that the arm estimates; off where its drift stops the arm.",
    ),
)

HOME = (0, 20, 180, -85, 0, -75, 90)
"""Degrees: the hand points down in front of the base, the wrist's camera looks away from it."""


class Arm(Backend):
    """The arm node's view of a Gen3. Needs no homing by its own controller."""

    joint_names = tuple(f"joint_{number}" for number in range(1, JOINTS + 1))
    # The hard limits of a twist since firmware 2.2: 50 cm/s and 100 degrees/s, says the vendor (Kinova-kortex2_Gen3_G3L #14).
    ceilings = Ceilings(linear_speed=0.5, angular_speed=float(np.radians(100)))

    def __init__(self, rig: Rig, *, guard_ms: int, grip: float, wrench: bool, **login):
        self._rig, self._chain = rig, gen3(grip)
        self.joint_limits = self._chain.limits
        self._link = Link(Login(**login), grip, guard_ms, wrench)

    def connect(self) -> None:
        home, limits = self.home().position, self._rig.limits
        if not (np.all(home >= limits.workspace_min) and np.all(home <= limits.workspace_max)):
            raise BackendError(
                f"rig '{self._rig.name}' is not a Gen3's: its workspace {list(limits.workspace_min)} .. {list(limits.workspace_max)} m "
                f"does not hold the home position {home.round(3).tolist()}; use rig:=kinova_gen3 or widen it"
            )
        try:
            self._link.open()
        except KortexError as error:
            raise BackendError(str(error)) from error
        atexit.register(self.close)

    def close(self) -> None:
        self._link.close()
        atexit.unregister(self.close)

    def state(self) -> ArmState:
        return self._link.state()

    def twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        self._link.twist(linear, angular)

    def gripper(self, closure: float) -> None:
        self._link.gripper(closure)

    def hold_gripper(self) -> None:
        self._link.hold_gripper()

    def stop(self) -> None:
        self._link.rest()

    def home(self) -> Pose:
        return Pose(*self._chain.forward(np.radians(HOME)))

    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        return self._chain.jacobian(joints)

    def describe(self) -> str:
        return self._link.about

    def clear_faults(self) -> None:
        try:
            self._link.clear_faults()
        except KortexError as error:
            raise BackendError(str(error)) from error

    def faults(self) -> list[str]:
        return self._link.faults()
