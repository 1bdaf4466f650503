"""A Kinova Gen2 with 7 joints and three fingers (j2s7s300), through the vendor's SDK over USB or Ethernet.
ROS-free.

Guide: docs/how-to/connect_kinova_gen2.md.
"""

from __future__ import annotations

import numpy as np

from gr1_common.option import Option
from gr1_core.kinematics import GEN2, GEN2_CAPSULES, GEN2_GRIP, GEN2_HAND, gen2
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_robot.arm.backend import ArmBackend, ArmError, ArmLimits, ArmState
from gr1_robot.arm.capsules import body_of
from gr1_robot.arm.description import urdf_of
from gr1_robot.arm.drivers.kinova_gen2 import sdk
from gr1_robot.arm.drivers.kinova_gen2.driver import Driver
from gr1_robot.arm.drivers.kinova_gen2.session import Ethernet, Session

HOME = (0.36, -0.10, 0.27)
"""m, base frame: also where the simulated rig starts its episodes."""

OPTIONS = (
    Option(
        "sdk",
        "",
        "Folder of the vendor's SDK with [Kinova.API.]USBCommandLayerUbuntu.so or EthCommandLayerUbuntu.so.",
    ),
    Option("connection", "usb", "How the arm is connected.", choices=tuple(sdk.CONNECTIONS)),
    Option("serial", "", "Serial number of the arm; empty: the only arm."),
    Option("robot_address", "192.168.100.11", "Ethernet: IPv4 address of the arm."),
    Option(
        "local_address", "192.168.100.100", "Ethernet: IPv4 address of this computer in the arm's network."
    ),
    Option("subnet_mask", "255.255.255.0", "Ethernet: mask of that network."),
    Option("command_port", 25000, "Ethernet: this computer's UDP port for commands.", low=1, high=65535),
    Option("broadcast_port", 25025, "Ethernet: this computer's UDP port for broadcasts.", low=1, high=65535),
    Option("robot_port", 55000, "Ethernet: the arm's UDP port.", low=1, high=65535),
    Option(
        "finger_closed",
        6800.0,
        "Position of a closed finger, vendor units (0 is open); differs a little between hands.",
        low=1000.0,
        high=8000.0,
    ),
    Option(
        "finger_speed", 4000.0, "Maximum speed of a finger, vendor units per second.", low=100.0, high=8000.0
    ),
    Option(
        "tool_offset",
        round(GEN2_GRIP - GEN2_HAND, 6),
        "From the vendor's end effector to the point between the fingertips, along the approach axis, m.",
        low=-0.1,
        high=0.3,
    ),
    Option(
        "home",
        list(HOME),
        "Target position of arm/home for the point between the fingertips, base frame, m; the "
        "orientation is the rig's reference.",
    ),
    Option(
        "table_height",
        0.0,
        "Height of the table in the arm's base frame, m. No part of the arm goes below it.",
        low=-2.0,
        high=1.0,
    ),
)


class Arm(ArmBackend):
    """Conversions are in `units`; everything that takes time runs in the thread of `driver`."""

    joint_names = tuple(f"joint_{number}" for number in range(1, 8))
    joint_limits, joint_speeds = GEN2.limits, GEN2.speeds
    # The vendor's controller brakes no harder than it accelerates (kinova-ros #380).
    vendor_limits = ArmLimits(0.2, 1.07, 0.64, 2.75, linear_braking=0.64, angular_braking=2.75)

    def __init__(self, rig: Rig, **settings):
        self._rig, self._settings = rig, settings
        self._chain = gen2(GEN2_HAND + settings["tool_offset"])
        self.body = body_of(rig, self._chain, GEN2_CAPSULES, settings["table_height"])
        home, limits = np.array(settings["home"], np.float64), rig.limits
        if home.shape != (3,) or not (
            np.all(home >= limits.workspace_min) and np.all(home <= limits.workspace_max)
        ):
            raise ArmError(
                f"kinova_gen2.home: {home.tolist()} is not a position in the workspace of rig '{rig.name}', "
                f"{list(limits.workspace_min)} .. {list(limits.workspace_max)} m"
            )
        self._home = Pose(home, np.array(rig.state.reference, np.float64))
        self.driver: Driver | None = None

    @property
    def homing(self) -> str:
        return self.driver.homing if self.driver else ""

    def connect(self) -> None:
        get = self._settings.__getitem__
        ethernet = None
        if get("connection") == "ethernet":
            addresses = [get(name) for name in ("robot_address", "local_address", "subnet_mask")]
            ethernet = Ethernet(
                *addresses, *[get(name) for name in ("command_port", "broadcast_port", "robot_port")]
            )
        library = sdk.Library(get("sdk"), get("connection"))
        self._session = Session(library, ethernet, get("serial"), get("tool_offset"))
        driver = Driver(self._session, get("finger_closed"), get("finger_speed"))
        driver.start()
        self.driver = driver

    def close(self) -> None:
        if self.driver:
            self.driver.end()

    def read_state(self) -> ArmState:
        reading = self.driver.reading()
        closure = float(np.clip(reading.fingers.mean() / self._settings["finger_closed"], 0.0, 1.0))
        return ArmState(
            reading.measured,
            reading.commanded,
            reading.joints,
            reading.joint_velocities,
            closure,
            reading.at,
            reading.force,
            reading.torque,
        )

    def send_twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        self.driver.send_twist(linear, angular)

    def send_gripper(self, closure: float) -> None:
        self.driver.send_gripper(closure)

    def hold_gripper(self) -> None:
        self.driver.hold_gripper()

    def stop(self) -> None:
        self.driver.stop()

    def home_pose(self) -> Pose:
        return self._home

    def start_homing(self) -> None:
        self.driver.start_homing()

    def clear_faults(self) -> None:
        self.driver.clear_faults()

    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        return self._chain.jacobian(joints)

    def urdf(self) -> str:
        return urdf_of("kinova_gen2", self._rig, self.joint_names, self._chain, self.body)

    def describe(self) -> str:
        return self._session.identity

    def diagnostic_values(self) -> dict[str, object]:
        """The driver's counts since `connect`."""
        return dict(self.driver.counts) if self.driver else {}

    def faults(self) -> list[str]:
        return self.driver.faults()
