"""A Kinova Gen2 with 7 joints and three fingers (j2s7s300), through the vendor's SDK over USB or Ethernet. See docs/how-to/connect_an_arm.md."""

from __future__ import annotations

import numpy as np

from gr1_common.option import Option
from gr1_core.kinematics import GEN2, GEN2_GRIP, GEN2_HAND
from gr1_core.rig import Rig
from gr1_robot.arm.backend import ArmState, Backend, BackendError, Ceilings, Pose
from gr1_robot.arm.drivers.kinova_gen2 import sdk
from gr1_robot.arm.drivers.kinova_gen2.driver import Driver
from gr1_robot.arm.drivers.kinova_gen2.session import Ethernet, Link

HOME = (0.36, -0.10, 0.27)
"""m, where the simulated rig starts its episodes too."""

OPTIONS = (
    Option(
        "sdk",
        "",
        "Folder of the vendor's SDK with [Kinova.API.]USBCommandLayerUbuntu.so or EthCommandLayerUbuntu.so.",
    ),
    Option("connection", "usb", "How the arm is connected.", choices=tuple(sdk.CONNECTIONS)),
    Option("serial", "", "Serial number of the arm; empty: the only one there is."),
    Option("robot_address", "192.168.100.11", "Ethernet: the arm's IPv4 address."),
    Option(
        "local_address", "192.168.100.100", "Ethernet: this computer's IPv4 address in the arm's network."
    ),
    Option("subnet_mask", "255.255.255.0", "Ethernet: mask of that network."),
    Option("command_port", 25000, "Ethernet: this computer's UDP port for commands.", low=1, high=65535),
    Option("broadcast_port", 25025, "Ethernet: this computer's UDP port for broadcasts.", low=1, high=65535),
    Option("robot_port", 55000, "Ethernet: the arm's UDP port.", low=1, high=65535),
    Option(
        "finger_closed",
        6800.0,
        "A closed finger in the vendor's units (0 is open); hands differ a little.",
        low=1000.0,
        high=8000.0,
    ),
    Option("finger_speed", 4000.0, "Fastest finger in the vendor's units a second.", low=100.0, high=8000.0),
    Option(
        "tool_offset",
        round(GEN2_GRIP - GEN2_HAND, 6),
        "m from the vendor's end effector to the point between the fingertips, along the approach; more for longer fingertips.",
        low=-0.1,
        high=0.3,
    ),
    Option(
        "home",
        list(HOME),
        "m, base frame: where arm/home takes the point between the fingertips; the hand as in the rig's reference.",
    ),
)


class Arm(Backend):
    """The node's side: conversions are in gr1_robot.arm.drivers.kinova_gen2.units, everything that takes time in gr1_robot.arm.drivers.kinova_gen2.driver."""

    joint_names = tuple(f"joint_{number}" for number in range(1, 8))
    joint_limits = GEN2.limits
    ceilings = Ceilings(0.2, 1.07, 0.64, 2.75)

    def __init__(self, rig: Rig, **settings):
        self._settings = settings
        home, limits = np.array(settings["home"], np.float64), rig.limits
        if home.shape != (3,) or not (
            np.all(home >= limits.workspace_min) and np.all(home <= limits.workspace_max)
        ):
            raise BackendError(
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
        self._link = Link(library, ethernet, get("serial"), get("tool_offset"))
        driver = Driver(self._link, get("finger_closed"), get("finger_speed"))
        driver.start()
        self.driver = driver

    def close(self) -> None:
        if self.driver:
            self.driver.end()

    def state(self) -> ArmState:
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

    def twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        self.driver.twist(linear, angular)

    def gripper(self, closure: float) -> None:
        self.driver.grip(closure)

    def hold_gripper(self) -> None:
        self.driver.hold()

    def stop(self) -> None:
        self.driver.stop()

    def home(self) -> Pose:
        return self._home

    def start_homing(self) -> None:
        self.driver.home()

    def clear_faults(self) -> None:
        self.driver.forget()

    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        return GEN2.jacobian(joints)

    def describe(self) -> str:
        return self._link.identity

    def values(self) -> dict[str, object]:
        """The driver's counts since connect."""
        return dict(self.driver.counts) if self.driver else {}

    def faults(self) -> list[str]:
        return self.driver.faults()
