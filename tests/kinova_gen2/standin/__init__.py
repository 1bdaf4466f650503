"""A stand-in for the vendor's SDK folder and for the arm behind it: compiled from the C files beside this
one.

The arm's state is a file in memory that the process under test shares: a test reads poses, queue and points
from it, and sets faults, while the driver runs and after it was killed.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import mmap
import os
import shutil
import subprocess
import tempfile
from ctypes import c_char, c_double, c_float, c_int32, c_int64, c_uint32
from pathlib import Path

import numpy as np
import pytest

from gr1_core.kinematics import GEN2, GEN2_GRIP, GEN2_HAND

HERE = Path(__file__).parent
JOINTS = (171.5, 201.9, 32.9, 89.9, 167.7, 108.4, 296.4)
"""Degrees: above the table, the hand pointing down."""
HOME_JOINTS = (283.12, 162.71, 0.0, 43.41, 265.88, 257.58, 288.12)
"""Degrees: the vendor's home."""
FUNCTIONS = (
    *(
        "InitAPI",
        "RefresDevicesList",
        "GetDevices",
        "SetActiveDevice",
        "CloseAPI",
        "StartControlAPI",
        "StopControlAPI",
        "MoveHome",
    ),
    *(
        "InitFingers",
        "SetCartesianControl",
        "EraseAllTrajectories",
        "SendAdvanceTrajectory",
        "GetQuickStatus",
        "GetGlobalTrajectoryInfo",
    ),
    *(
        "GetCartesianPosition",
        "GetCartesianCommand",
        "GetCartesianForce",
        "GetAngularPosition",
        "GetAngularVelocity",
        "GetAPIVersion",
    ),
)
RATE_S, ACCELERATION = 0.01, (0.64, 2.75)
FIFO, LOG, ORDER, NUMBER, LATEST = 2000, 4096, 1024, 24, 16


def _structure(name: str, **fields) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields.items())})


Point = _structure("Point", v=c_float * 6, fingers=c_float * 3, type=c_int32, hand_mode=c_int32)
Sent = _structure("Sent", at=c_double, point=Point)
Function = _structure("Function", code=c_int32, times=c_int32, latency_us=c_int32, calls=c_int32)
World = _structure(
    "World",
    mutex=c_char * 64,
    period=c_double,
    home_s=c_double,
    fingers_s=c_double,
    home_pose=c_double * 7,
    joints=c_float * 7,
    joint_velocities=c_float * 7,
    force=c_float * 6,
    acceleration=c_double * 2,
    lag=c_int32,
    finger_stop=c_float,
    plugged=c_int32,
    epoch=c_int32,
    timeout_us=c_int32,
    robot_type=c_int32,
    devices=c_int32,
    blocking_home=c_int32,
    held=c_int32,
    serials=c_char * 20 * 4,
    functions=Function * NUMBER,
    next=c_double,
    commanded=c_double * 7,
    measured=c_double * 7,
    velocity=c_double * 6,
    coming=c_float * 6 * LATEST,
    turn=c_int32,
    home_begun=c_double,
    home_from=c_double * 7,
    fingers=c_float * 3,
    retract=c_int32,
    fingers_known=c_int32,
    control=c_int32,
    cartesian=c_int32,
    config=c_uint32 * 7,
    waiting=c_int32,
    first=c_int32,
    deepest=c_int32,
    overlaps=c_int32,
    aborts=c_int32,
    consumed=c_int64,
    starved=c_int64,
    ignored=c_int64,
    erased=c_int64,
    overflowed=c_int64,
    sent=c_int64,
    ordered=c_int64,
    order=c_int32 * ORDER,
    fifo=Point * FIFO,
    log=Sent * LOG,
)
"""The mirror of world.h, where its fields are explained."""


@functools.cache
def sdk() -> Path:
    """The stand-in's SDK folder, compiled once for each version of its source."""
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler (cc) for the stand-in of the vendor's library")
    sources = [HERE / name for name in ("library.c", "arm.c")]
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(HERE.glob("*.[ch]")))).hexdigest()[
        :12
    ]
    folder = Path(tempfile.gettempdir()) / f"kinova_standin_{os.getuid()}_{version}"
    if not folder.is_dir():
        making = Path(tempfile.mkdtemp(dir=folder.parent))
        for kind, prefix in (("USB", ""), ("Eth", "Ethernet_")):
            communication = f"{kind}CommLayerUbuntu.so"
            flags = [
                "-std=gnu11",
                "-O2",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-shared",
                "-fPIC",
                "-fvisibility=hidden",
            ]
            empty = ["-x", "c", os.devnull, "-o", making / communication, f"-Wl,-soname,{communication}"]
            subprocess.run(["cc", *flags, *empty], check=True)
            names = [f"-DPREFIX={prefix}", f'-DCOMM="{communication}"']
            output = ["-o", making / f"Kinova.API.{kind}CommandLayerUbuntu.so", "-lm", "-ldl", "-lpthread"]
            subprocess.run(["cc", *flags, *names, *sources, *output], check=True)
        try:
            making.rename(folder)
        except OSError:  # another test run was faster
            shutil.rmtree(making)
    return folder


def vendor_pose(joints_degrees) -> np.ndarray:
    """The vendor's end effector at these joint angles: f64[7] m and quaternion xyzw."""
    position, quaternion = GEN2.forward(np.radians(joints_degrees))
    return np.concatenate([_along(position, quaternion, GEN2_HAND - GEN2_GRIP), quaternion])


def _along(position, quaternion, distance: float) -> np.ndarray:
    x, y, z, w = quaternion
    return np.asarray(position) + distance * np.array(
        [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
    )


class StandIn:
    """One arm at rest above the table, homed, hand open. `world` is its state, live; the process that drives
    it needs `environment`.

    period: s between two points that it takes from its queue: 10 ms, or a faster clock for a test without a
    rate. At 10 ms it follows 30 ms late, with the vendor's accelerations, and brakes when it has no point.
    With a faster clock it has no points between two ticks of the test, so it follows at once.
    """

    def __init__(self, folder: Path, period: float = RATE_S):
        self.path = folder / "world"
        self.path.write_bytes(bytes(ctypes.sizeof(World)))
        with self.path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self.world = world = World.from_buffer(self._memory)
        world.period, world.home_s, world.fingers_s = period, 0.3, 0.05
        world.home_pose[:] = vendor_pose(HOME_JOINTS)
        world.joints[:] = JOINTS
        at_rate = period == RATE_S
        world.acceleration[:], world.lag = (ACCELERATION, 3) if at_rate else ((math.inf, math.inf), 0)
        world.finger_stop = 6800.0
        world.plugged, world.robot_type, world.devices, world.blocking_home = 1, 8, 1, 1
        world.timeout_us = 20_000
        for number in range(4):
            world.serials[number].value = f"PJ0000000{number}".encode()
        world.commanded[:] = world.measured[:] = vendor_pose(JOINTS)
        world.retract = world.fingers_known = 1
        self._library = ctypes.CDLL(os.fspath(sdk() / "Kinova.API.USBCommandLayerUbuntu.so"))
        assert self._library.standin_size() == ctypes.sizeof(World), "World does not mirror world.h"
        self._library.standin_create(ctypes.byref(world))

    @property
    def environment(self) -> dict[str, str]:
        """What the process under test needs: this arm, and the communication layer in the search path."""
        paths = [os.fspath(sdk()), os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            "KINOVA_STANDIN_WORLD": os.fspath(self.path),
            "LD_LIBRARY_PATH": ":".join(path for path in paths if path),
        }

    # What the arm does

    def advance(self) -> World:
        """The state of this moment: all points consumed that are due."""
        self._library.standin_advance(ctypes.byref(self.world))
        return self.world

    def fingertips(self) -> tuple[np.ndarray, np.ndarray]:
        """f64[3] m and quaternion xyzw of the point between the fingertips, at this moment."""
        pose = np.array(self.advance().measured)
        return _along(pose[:3], pose[3:], GEN2_GRIP - GEN2_HAND), pose[3:]

    @property
    def moving(self) -> bool:
        """Whether the arm has a velocity, or has points to carry out."""
        world = self.advance()
        return bool(world.waiting or self._library.standin_moving(ctypes.byref(world)))

    def points(self) -> list[Sent]:
        """The last points that were sent, oldest first."""
        count = self.world.sent
        return [self.world.log[number % LOG] for number in range(max(0, count - LOG), count)]

    def calls(self) -> list[str]:
        """The names of the last calls, oldest first."""
        count = self.world.ordered
        return [FUNCTIONS[self.world.order[number % ORDER]] for number in range(max(0, count - ORDER), count)]

    # Faults

    def function(self, name: str) -> Function:
        return self.world.functions[FUNCTIONS.index(name)]

    def fail(self, name: str, code: int, times: int = -1) -> None:
        """`name` returns `code` so many times; -1: until told otherwise."""
        function = self.function(name)
        function.code, function.times = code, times

    def unplug(self) -> None:
        self.world.plugged = 0
        self.world.epoch += 1

    def plug(self, powered: bool = True) -> None:
        """powered: False: it had lost its power, and knows nothing of its home."""
        world = self.advance()
        if not powered:
            world.control = world.cartesian = world.fingers_known = 0
            world.retract = 6
        world.plugged = 1


def attach(standin: StandIn) -> None:
    """Lets this process drive that arm, as if its environment had been there when it started."""
    os.environ["KINOVA_STANDIN_WORLD"] = os.fspath(standin.path)
    for kind, prefix in (("USB", ""), ("Eth", "Ethernet_")):
        ctypes.CDLL(os.fspath(sdk() / f"{kind}CommLayerUbuntu.so"))
        getattr(
            ctypes.CDLL(os.fspath(sdk() / f"Kinova.API.{kind}CommandLayerUbuntu.so")),
            f"{prefix}standin_forget",
        )()
