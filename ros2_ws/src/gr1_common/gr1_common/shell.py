"""What in a shell keeps ROS 2 from working, each with its remedy. No ROS import: with such a shell it may
fail.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Mapping
from pathlib import Path

_BOOTSTRAPPED = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
_HIGHEST_DOMAIN = 232
_SHARED_MEMORY = Path("/dev/shm")
_PORT = re.compile(r"fastrtps_port(\d+)")
_OTHER_ROS = ("librcl.so", "librmw.so", "librmw_implementation.so", "librclcpp.so")


def shell_problem(environment: Mapping[str, str] | None = None, prefix: str = sys.prefix) -> str:
    """Why ROS 2 cannot work in this shell, with the remedy; "" if nothing is known to be wrong.

    prefix: the Python environment. Wheels of ROS 2 in it and another ROS in PYTHONPATH or LD_LIBRARY_PATH
    would be mixed.
    """
    given = os.environ if environment is None else environment
    return (
        _domain_problem(given.get("ROS_DOMAIN_ID", ""))
        or _other_ros(given, Path(prefix))
        or _middleware_problem(given.get("RMW_IMPLEMENTATION", ""), Path(prefix))
    )


def other_users(environment: Mapping[str, str] | None = None, folder: Path = _SHARED_MEMORY) -> str:
    """That another user's nodes in this ROS_DOMAIN_ID may be there unheard, with the remedy; "" if there
    are none.

    Fast DDS keeps its ports in shared memory, which belongs to the user of the node.
    """
    given = os.environ if environment is None else environment
    number = given.get("ROS_DOMAIN_ID", "") or "0"
    owners = set()
    try:
        for path in folder.iterdir():
            port = _PORT.fullmatch(path.name)
            if port and (int(port[1]) - 7400) // 250 == int(number):
                owners.add(path.stat().st_uid)
    except (OSError, ValueError):
        return ""
    names = sorted(_user(owner) for owner in owners - {os.geteuid()})
    if not names:
        return ""
    return (
        f"user {', '.join(names)} has ROS 2 nodes in ROS_DOMAIN_ID {number}, whose shared memory is closed "
        f"to user {_user(os.geteuid())}: run both as one user, or set FASTDDS_BUILTIN_TRANSPORTS=UDPv4 for "
        "both"
    )


def callers_environment(environment: Mapping[str, str], prefix: str = sys.prefix) -> dict[str, str]:
    """The environment of a program that is not ours (rviz2): without the libraries of the wheels, which
    they have put before those of its own ROS.
    """
    mine = {str(path) for path in _wheel_folders(Path(prefix))}
    found = {name: text for name, text in environment.items() if name != _BOOTSTRAPPED}
    kept = [part for part in found.pop("LD_LIBRARY_PATH", "").split(os.pathsep) if part and part not in mine]
    if kept:
        found["LD_LIBRARY_PATH"] = os.pathsep.join(kept)
    return found


def _domain_problem(text: str) -> str:
    if not text or (text.isascii() and text.isdigit() and int(text) <= _HIGHEST_DOMAIN):
        return ""
    return (
        f"ROS_DOMAIN_ID is '{text}': it must be a whole number from 0 to 101, the same on all computers of a "
        "robot; `unset ROS_DOMAIN_ID` means 0"
    )


def _other_ros(given: Mapping[str, str], prefix: Path) -> str:
    if not _wheels(prefix):
        return ""
    mine = {path for path in _wheel_folders(prefix)}
    for name, marks in (("PYTHONPATH", ("rclpy",)), ("LD_LIBRARY_PATH", _OTHER_ROS)):
        for part in given.get(name, "").split(os.pathsep):
            folder = Path(part)
            if part and folder not in mine and prefix not in folder.parents:
                if any((folder / mark).exists() for mark in marks):
                    return (
                        f"{name} holds another ROS ({part}), which cannot be mixed with the one in {prefix}: "
                        "use a shell in which no setup.bash was sourced, or `env -u PYTHONPATH -u "
                        "LD_LIBRARY_PATH gr1 ...`"
                    )
    return ""


def _middleware_problem(name: str, prefix: Path) -> str:
    if not name:
        return ""
    folders = [*_wheel_folders(prefix), *(Path(part) / "lib" for part in _ament_prefixes())]
    if not folders:
        return ""  # no ROS is known here; its own error says more
    there = sorted(
        {
            path.name.removeprefix("lib").removesuffix(".so")
            for folder in folders
            for path in folder.glob("librmw_*.so")
            if not re.search("__|_shared_|_common|librmw_implementation", path.name)
        }
    )
    if not there or name in there:
        return ""
    return (
        f"RMW_IMPLEMENTATION is '{name}', which is not installed here (there is {', '.join(there)}): `unset "
        "RMW_IMPLEMENTATION`, or install it and use it on all computers of the robot"
    )


def _ament_prefixes() -> list[str]:
    return [part for part in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if part]


def _wheels(prefix: Path) -> bool:
    return any(prefix.glob("lib/python3*/site-packages/ros_wheels_bootstrapper"))


def _wheel_folders(prefix: Path) -> list[Path]:
    if not _wheels(prefix):
        return []
    return [
        prefix / "lib",
        *(path.resolve() for path in prefix.glob("lib/python3*/site-packages/ros_*.libs")),
    ]


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
