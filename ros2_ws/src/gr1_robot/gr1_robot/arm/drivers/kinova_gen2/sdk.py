"""The vendor's shared library for Gen2 arms (SDK 5.2, C interface): struct layouts, loading, calls, in the
vendor's units. ROS-free.

The vendor ships two command layers, for USB and for Ethernet; each opens its communication layer by name,
with the system's search path as it was when the process started. The layouts are checked against the
published sizes and offsets before anything is called.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import POINTER, Structure, byref, c_char, c_float, c_int, c_uint, c_ulong, c_ushort
from pathlib import Path

from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.drivers.kinova_gen2.faults import OK, SdkError

MAX_DEVICES = 20
CARTESIAN_VELOCITY = 7
HAND_VELOCITY = 2
SPHERICAL_7_DOF = 8
READY, NORMAL = 1, 5
"""QuickStatus.RetractType: at the vendor's home; initialised and elsewhere. After power-up an arm is in
neither state.
"""

CONNECTIONS = {"usb": ("USB", ""), "ethernet": ("Eth", "Ethernet_")}
"""Connection -> the library's name and the prefix of its functions."""


def _floats(*names: str) -> list:
    return [(name, c_float) for name in names]


class CartesianInfo(Structure):
    _fields_ = _floats("X", "Y", "Z", "ThetaX", "ThetaY", "ThetaZ")


class AngularInfo(Structure):
    _fields_ = _floats(*(f"Actuator{number}" for number in range(1, 8)))


class FingersPosition(Structure):
    _fields_ = _floats("Finger1", "Finger2", "Finger3")


class CartesianPosition(Structure):
    _fields_ = [("Coordinates", CartesianInfo), ("Fingers", FingersPosition)]


class AngularPosition(Structure):
    _fields_ = [("Actuators", AngularInfo), ("Fingers", FingersPosition)]


class UserPosition(Structure):
    _fields_ = [
        ("Type", c_int),
        ("Delay", c_float),
        ("CartesianPosition", CartesianInfo),
        ("Actuators", AngularInfo),
        ("HandMode", c_int),
        ("Fingers", FingersPosition),
    ]


class TrajectoryPoint(Structure):
    _fields_ = [
        ("Position", UserPosition),
        ("LimitationsActive", c_int),
        ("SynchroType", c_int),
        ("Limitations", c_float * 9),
    ]


class TrajectoryFIFO(Structure):
    _fields_ = [("TrajectoryCount", c_uint), ("UsedPercentage", c_float), ("MaxSize", c_uint)]


class QuickStatus(Structure):
    _fields_ = [
        (name, ctypes.c_ubyte)
        for name in (
            *(
                "Finger1Status",
                "Finger2Status",
                "Finger3Status",
                "RetractType",
                "RetractComplexity",
                "ControlEnableStatus",
            ),
            *(
                "ControlActiveModule",
                "ControlFrameType",
                "CartesianFaultState",
                "ForceControlStatus",
                "CurrentLimitationStatus",
            ),
            *("RobotType", "RobotEdition", "TorqueSensorsStatus"),
        )
    ]


class KinovaDevice(Structure):
    _fields_ = [
        ("SerialNumber", c_char * 20),
        ("Model", c_char * 20),
        ("VersionMajor", c_int),
        ("VersionMinor", c_int),
        ("VersionRelease", c_int),
        ("DeviceType", c_int),
        ("DeviceID", c_int),
    ]


class EthernetCommConfig(Structure):
    _fields_ = [
        ("localIpAddress", c_ulong),
        ("subnetMask", c_ulong),
        ("robotIpAddress", c_ulong),
        ("localCmdport", c_ushort),
        ("localBcastPort", c_ushort),
        ("robotPort", c_ushort),
        ("rxTimeOutInMs", c_ulong),
    ]


LAYOUTS = {
    CartesianInfo: (24, {"ThetaX": 12}),
    AngularInfo: (28, {"Actuator7": 24}),
    FingersPosition: (12, {"Finger3": 8}),
    CartesianPosition: (36, {"Fingers": 24}),
    AngularPosition: (40, {"Fingers": 28}),
    UserPosition: (76, {"Delay": 4, "CartesianPosition": 8, "Actuators": 32, "HandMode": 60, "Fingers": 64}),
    TrajectoryPoint: (120, {"Position": 0, "LimitationsActive": 76, "SynchroType": 80, "Limitations": 84}),
    TrajectoryFIFO: (12, {"UsedPercentage": 4, "MaxSize": 8}),
    QuickStatus: (14, {"RetractType": 3, "RobotType": 11, "TorqueSensorsStatus": 13}),
    KinovaDevice: (60, {"Model": 20, "VersionMajor": 40, "DeviceType": 52, "DeviceID": 56}),
    EthernetCommConfig: (
        40,
        {"robotIpAddress": 16, "localCmdport": 24, "robotPort": 28, "rxTimeOutInMs": 32},
    ),
}
"""Struct -> its size and the offsets of its fields in bytes, as the vendor's library was compiled."""

_POINTERS = {kind: POINTER(kind) for kind in LAYOUTS}
FUNCTIONS = {
    "GetAPIVersion": [POINTER(c_int)],
    "RefresDevicesList": [],
    "GetDevices": [_POINTERS[KinovaDevice], POINTER(c_int)],
    "SetActiveDevice": [KinovaDevice],
    "CloseAPI": [],
    "StartControlAPI": [],
    "StopControlAPI": [],
    "MoveHome": [],
    "InitFingers": [],
    "SetCartesianControl": [],
    "EraseAllTrajectories": [],
    "SendAdvanceTrajectory": [TrajectoryPoint],
    "GetQuickStatus": [_POINTERS[QuickStatus]],
    "GetGlobalTrajectoryInfo": [_POINTERS[TrajectoryFIFO]],
    "GetCartesianPosition": [_POINTERS[CartesianPosition]],
    "GetCartesianCommand": [_POINTERS[CartesianPosition]],
    "GetCartesianForce": [_POINTERS[CartesianPosition]],
    "GetAngularPosition": [_POINTERS[AngularPosition]],
    "GetAngularVelocity": [_POINTERS[AngularPosition]],
}
"""Function -> its arguments' types; each returns an int. RefresDevicesList is the vendor's spelling."""
STARTS = {"usb": ("InitAPI", []), "ethernet": ("InitEthernetAPI", [_POINTERS[EthernetCommConfig]])}


def check_layouts(layouts=LAYOUTS) -> None:
    """Raises ArmError if this platform's struct layouts differ from those of the vendor's library."""
    for kind, (size, offsets) in layouts.items():
        found = {"size": ctypes.sizeof(kind), **{name: getattr(kind, name).offset for name in offsets}}
        for name, expected in {"size": size, **offsets}.items():
            if found[name] != expected:
                raise ArmError(
                    f"struct {kind.__name__}: {name} is {found[name]} bytes here, the vendor's library "
                    f"has {expected}: "
                    "the Gen2 needs 64-bit Linux on x86 (no ARM, no Jetson)"
                )


class Library:
    """One command layer, loaded from `folder`. connection: "usb" or "ethernet". Raises ArmError, saying what
    to do.
    """

    def __init__(self, folder: str, connection: str):
        check_layouts()
        self.folder, self.connection = Path(folder).expanduser(), connection
        kind, prefix = CONNECTIONS[connection]
        if not folder:
            raise ArmError(
                "kinova_gen2.sdk is empty: give the folder of the vendor's SDK that holds "
                f"Kinova.API.{kind}CommandLayerUbuntu.so (see docs/how-to/connect_kinova_gen2.md)"
            )
        names = [f"{start}{kind}CommandLayerUbuntu.so" for start in ("Kinova.API.", "")]
        path = next((self.folder / name for name in names if (self.folder / name).is_file()), None)
        if path is None:
            raise ArmError(f"kinova_gen2.sdk: {self.folder} holds neither {names[0]} nor {names[1]}")
        try:
            library = ctypes.CDLL(os.fspath(path.resolve()))
        except OSError as error:
            raise ArmError(
                f"{path} cannot be loaded ({error}): the vendor's library is for 64-bit Linux on x86"
            ) from error
        start, arguments = STARTS[connection]
        self._functions, missing = {}, []
        for name, types in {start: arguments, **FUNCTIONS}.items():
            try:
                function = getattr(library, prefix + name)
            except AttributeError:
                missing.append(prefix + name)
                continue
            function.argtypes, function.restype = types, c_int
            self._functions[name] = function
        if missing:
            raise ArmError(
                f"{path} lacks {', '.join(missing)}: the driver needs SDK 5.2, this is another version"
            )
        self._start = start
        self.path = path

    def start(self, config: EthernetCommConfig | None) -> None:
        """InitAPI or InitEthernetAPI. Raises SdkError."""
        self.call(self._start, *([byref(config)] if config else []))

    def call(self, name: str, *arguments) -> None:
        """Calls a function of the vendor's; blocks while it does. Raises SdkError unless it returns 1."""
        code = self._functions[name](*arguments)
        if code != OK:
            raise SdkError(name, code)

    def read(self, name: str, kind: type):
        """The struct that the function `name` fills. Raises SdkError."""
        value = kind()
        self.call(name, byref(value))
        return value

    def devices(self) -> list[KinovaDevice]:
        """The arms that are plugged in. Raises SdkError."""
        # Its return code is 1001 on a healthy computer; the vendor's own driver ignores it too.
        self._functions["RefresDevicesList"]()
        found, result = (KinovaDevice * MAX_DEVICES)(), c_int(0)
        count = self._functions["GetDevices"](found, byref(result))
        if result.value != OK:
            raise SdkError("GetDevices", result.value)
        return list(found[: min(count, MAX_DEVICES)])

    def version(self) -> str:
        """The library's version, such as 5.2.0."""
        numbers = (c_int * 3)()
        self.call("GetAPIVersion", numbers)
        return ".".join(map(str, numbers))

    def search_path_help(self) -> str:
        """How to make the command layer find its communication layer."""
        return (
            f"before starting, run: export LD_LIBRARY_PATH={self.folder.resolve()}:$LD_LIBRARY_PATH   "
            "(the folder must hold "
            f"{CONNECTIONS[self.connection][0]}CommLayerUbuntu.so; Python reads it at start, so setting "
            f"it inside {sys.executable} is too late)"
        )
