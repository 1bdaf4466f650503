"""One connection to one Gen2: connecting, reading, sending, in SI units and our frames. ROS-free. Every call
may block for seconds.

The vendor's library is not thread-safe: all calls go through one lock. The one exception is `abort`.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gr1_core.pose import Pose
from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.drivers.kinova_gen2 import sdk, units
from gr1_robot.arm.drivers.kinova_gen2.faults import NOT_LOADED, SdkError

ROBOT_TYPES = {
    0: "Jaco 1",
    1: "Mico with 6 joints",
    2: "Mico with 4 joints",
    3: "Jaco 2 with 6 joints",
    4: "Jaco 2 with 4 joints",
    5: "Mico with 6 joints, assistive",
    6: "Jaco 2 with 6 joints, assistive",
    7: "6 joints, spherical wrist",
    8: "7 joints, spherical wrist",
}


@dataclass(frozen=True)
class Ethernet:
    """Addresses of an arm on a network; the ports are UDP. receive_timeout_ms: how long the library waits for
    an answer.
    """

    robot: str
    local: str
    mask: str
    command_port: int
    broadcast_port: int
    robot_port: int
    receive_timeout_ms: int = 1000

    def config(self) -> sdk.EthernetCommConfig:
        """Raises ArmError for a text that is not an address."""
        addresses = (
            _address(option, text)
            for option, text in (
                ("local_address", self.local),
                ("subnet_mask", self.mask),
                ("robot_address", self.robot),
            )
        )
        return sdk.EthernetCommConfig(
            *addresses, self.command_port, self.broadcast_port, self.robot_port, self.receive_timeout_ms
        )


class Status(NamedTuple):
    """retract: the vendor's retract state; fingers: whether all three are initialised."""

    retract: int
    fingers: bool


class Session:
    """See the module's text. offset: m from the vendor's end effector to the point between the fingertips.

    identity: what is connected, for a person. calling: the vendor's function that is running, "" for none.
    """

    def __init__(self, library: sdk.Library, ethernet: Ethernet | None, serial: str, offset: float):
        self.lock = threading.RLock()
        self.identity = ""
        self.calling = ""
        self._library, self._serial, self._offset = library, serial, offset
        self._config = ethernet.config() if ethernet else None
        self._open = False

    # Connection

    def open(self) -> Status:
        """Connects and takes control; nothing moves, and points that an earlier program left are erased.

        Raises ArmError: no arm, another arm, an arm that does not answer.
        """
        with self.lock:
            try:
                return self._connect()
            except SdkError as error:
                if error.code == NOT_LOADED:  # any further call crashes the process
                    self._open = False
                    raise ArmError(f"{error}: {self._library.search_path_help()}") from error
                self.close()
                raise ArmError(str(error)) from error
            except ArmError:
                self.close()
                raise

    def _connect(self) -> Status:
        library = self._library
        with self._exclusive("InitAPI"):
            # Set even if it fails: a second start without CloseAPI returns 1 and finds no arm any more.
            self._open = True
            library.start(self._config)
            devices = library.devices()
        device = self._choose(devices)
        self._call("SetActiveDevice", device)
        # A cold arm ignores the first request for control. None of these return codes means anything: only a
        # reading proves an arm.
        for name in ("StartControlAPI", "StopControlAPI", "StartControlAPI", "EraseAllTrajectories"):
            self._call(name)
        status = self._read("GetQuickStatus", sdk.QuickStatus)
        if status.RobotType != sdk.SPHERICAL_7_DOF:
            kind = ROBOT_TYPES.get(status.RobotType, "unknown")
            raise ArmError(
                f"the arm is of type {status.RobotType} ({kind}): this driver is for type 8 "
                f"({ROBOT_TYPES[8]}) only"
            )
        self.pose()
        serial = device.SerialNumber.decode(errors="replace").strip()
        firmware = f"{device.VersionMajor}.{device.VersionMinor}.{device.VersionRelease}"
        model = f"{ROBOT_TYPES[status.RobotType]}, serial {serial}, firmware {firmware}"
        self.identity = f"Kinova Gen2, {model}, over {library.connection}, SDK {library.version()}"
        return _to_status(status)

    def _choose(self, devices) -> sdk.KinovaDevice:
        serials = [device.SerialNumber.decode(errors="replace").strip() for device in devices]
        if not devices:
            raise SdkError("GetDevices", 1015)
        if self._serial and self._serial not in serials:
            raise ArmError(f"kinova_gen2.serial: no arm '{self._serial}', but {', '.join(serials)}")
        if not self._serial and len(devices) > 1:
            raise ArmError(
                f"there are {len(devices)} arms ({', '.join(serials)}): set kinova_gen2.serial to one of them"
            )
        return devices[serials.index(self._serial) if self._serial else 0]

    def close(self) -> None:
        """Disconnects; may be called twice, and when there is no arm."""
        with self.lock:
            if not self._open:
                return
            self._open = False
            for name in ("EraseAllTrajectories", "StopControlAPI", "CloseAPI"):
                with contextlib.suppress(SdkError):
                    self._call(name)

    # Reading: raises SdkError

    def pose(self) -> tuple[Pose, np.ndarray]:
        """The measured pose of the point between the fingertips, and the fingers f64[3] in the vendor's
        units.
        """
        position = self._read("GetCartesianPosition", sdk.CartesianPosition)
        return units.pose(position.Coordinates, self._offset), units.fingers(position.Fingers)

    def commanded(self) -> Pose:
        """The pose at which the arm's controller holds that point."""
        return units.pose(self._read("GetCartesianCommand", sdk.CartesianPosition).Coordinates, self._offset)

    def joints(self) -> np.ndarray:
        """f64[7] rad."""
        return units.joints(self._read("GetAngularPosition", sdk.AngularPosition).Actuators)

    def joint_velocities(self) -> np.ndarray:
        """f64[7] rad/s."""
        return units.joint_velocities(self._read("GetAngularVelocity", sdk.AngularPosition).Actuators)

    def force(self) -> tuple[np.ndarray, np.ndarray]:
        """f64[3] N and f64[3] Nm, base frame, as the arm estimates them from its joint torque sensors."""
        return units.force(self._read("GetCartesianForce", sdk.CartesianPosition).Coordinates)

    def queue_length(self) -> int:
        """Points that the arm has not executed yet."""
        return self._read("GetGlobalTrajectoryInfo", sdk.TrajectoryFIFO).TrajectoryCount

    def status(self) -> Status:
        return _to_status(self._read("GetQuickStatus", sdk.QuickStatus))

    # Moving: raises SdkError

    def send_point(
        self, linear: np.ndarray, angular: np.ndarray, quaternion: np.ndarray, fingers: np.ndarray
    ) -> None:
        """One point, 10 ms of motion: velocity of the point between the fingertips (m/s, rad/s, base frame)
        with the hand's orientation xyzw, and velocity of each finger f64[3] in the vendor's units a second,
        positive closes.
        """
        self._send_point(units.velocity(linear, angular, quaternion, self._offset), fingers)

    def erase_points(self) -> None:
        """Discards the points that wait."""
        self._call("EraseAllTrajectories")

    def take_control(self) -> None:
        self._call("StartControlAPI")

    def use_cartesian_control(self) -> None:
        """From now on the arm accepts Cartesian velocities."""
        self._call("SetCartesianControl")

    def move_home(self) -> None:
        """The vendor's own homing motion. Blocks until the arm is home; for ever if the arm does not
        answer.
        """
        self._call("MoveHome")

    def init_fingers(self) -> None:
        """Opens the hand and finds the fingers' zero."""
        self._call("InitFingers")

    def abort(self, wait: float, without_lock: bool) -> None:
        """Rest now: a zero velocity, no points, control given up. Failures are ignored: the queue runs dry
        without it.

        wait: s to wait for the call that is running. without_lock: continue after that without the lock: a
        stop must not queue behind MoveHome.
        """
        locked = self.lock.acquire(timeout=wait)
        try:
            if locked:
                with contextlib.suppress(SdkError):
                    self._send_point(sdk.CartesianInfo(), np.zeros(3))
            if locked or without_lock:
                for name in ("EraseAllTrajectories", "StopControlAPI"):
                    with contextlib.suppress(SdkError):
                        self._library.call(name)
        finally:
            if locked:
                self.lock.release()

    def _send_point(self, velocity: sdk.CartesianInfo, fingers: np.ndarray) -> None:
        point = sdk.TrajectoryPoint()
        point.Position.Type = sdk.CARTESIAN_VELOCITY
        point.Position.CartesianPosition = velocity
        point.Position.HandMode = sdk.HAND_VELOCITY
        point.Position.Fingers = sdk.FingersPosition(*fingers)
        self._call("SendAdvanceTrajectory", point)

    def _call(self, name: str, *arguments) -> None:
        with self._exclusive(name):
            self._library.call(name, *arguments)

    def _read(self, name: str, kind: type):
        with self._exclusive(name):
            return self._library.read(name, kind)

    @contextlib.contextmanager
    def _exclusive(self, name: str):
        with self.lock:
            self.calling = name
            try:
                yield
            finally:
                self.calling = ""


def _to_status(status: sdk.QuickStatus) -> Status:
    return Status(
        status.RetractType, bool(status.Finger1Status and status.Finger2Status and status.Finger3Status)
    )


def _address(option: str, text: str) -> int:
    try:
        return int.from_bytes(socket.inet_aton(text), sys.byteorder)
    except OSError:
        raise ArmError(
            f"kinova_gen2.{option}: '{text}' is not an IPv4 address such as 192.168.100.11"
        ) from None
