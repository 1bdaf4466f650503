"""The programs of `rviz:=true`: rviz2, and what publishes the arm's frames for it. ROS-free."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gr1_bringup.files import share
from gr1_bringup.processes import APT_ROS
from gr1_core import Rig
from gr1_robot.arm.description import urdf_of_robot

_FRAMES = "robot_state_publisher"


def programs(robot: str, rig: Rig) -> list[dict]:
    """Fields of a `stack.Node` for each program."""
    rviz = {"package": "rviz2", "executable": "rviz2", "name": "rviz"}
    found = [rviz | {"arguments": ("-d", str(share() / "rviz" / "gr1.rviz"))}]
    urdf = urdf_of_robot(robot, rig)
    if urdf and _installed(os.environ):
        found.append(
            {
                "package": _FRAMES,
                "executable": _FRAMES,
                "name": _FRAMES,
                "parameters": {"robot_description": urdf},
                # The arm node publishes robot_description itself, with the tool that it really has.
                "arguments": ("--ros-args", "-r", "robot_description:=robot_description_of_frames"),
            }
        )
    return found


def _installed(environment: Mapping[str, str]) -> bool:
    prefixes = [*environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep), str(APT_ROS)]
    return any((Path(prefix) / "lib" / _FRAMES / _FRAMES).is_file() for prefix in prefixes if prefix)
