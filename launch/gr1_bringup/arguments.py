"""The stack's arguments, of `gr1 up` and `ros2 launch`: names, defaults, descriptions. ROS-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gr1_bringup import renamed
from gr1_core.suggestions import did_you_mean

TRUE_FALSE = ("true", "false")
DRIVERS = ("policy", "expert", "teleop")
ROBOTS = {"sim": "kinova_gen2", "kinova_gen2": "kinova_gen2", "kinova_gen3": "kinova_gen3", "ros2": ""}
"""Each robot, and the built-in rig that is meant for it; "": a rig must be given."""
CAMERAS = ("sim", "realsense", "azure_kinect", "orbbec")
UNTRAINED = "untrained"
"""The value of `checkpoint` that stands for the small model with seeded random weights."""


class SettingError(ValueError):
    """An argument of the stack that does not exist or whose value cannot be used; names the remedy."""


@dataclass(frozen=True)
class Argument:
    """One choice of the user. Values are strings, as on a command line."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


ARGUMENTS = (
    Argument(
        "robot",
        "sim",
        "sim: the simulated tabletop; kinova_gen2: Kinova Gen2 (Jaco 2), 7 joints; kinova_gen3: Kinova Gen3; "
        "ros2: any arm of ros2_control",
        tuple(ROBOTS),
    ),
    Argument(
        "static",
        "",
        "driver of the static camera; empty: sim with robot:=sim, else azure_kinect",
        ("", *CAMERAS),
    ),
    Argument(
        "wrist",
        "",
        "driver of the wrist camera; empty: sim with robot:=sim, else realsense",
        ("", *CAMERAS),
    ),
    Argument(
        "hardware",
        "",
        "YAML file with a laboratory's parameters of every node, such as serial numbers, addresses, limits",
    ),
    Argument(
        "checkpoint",
        "",
        "folder with weights, config and rig; demo: the shipped policy; untrained: a small model with random "
        "weights (robot:=sim only); empty: demo with robot:=sim and driver:=policy, else no policy",
    ),
    Argument(
        "server",
        "",
        "wss://host:port of `gr1 serve`: the policy runs on that computer, with its checkpoint; empty: here",
    ),
    Argument(
        "server_access",
        "",
        "server: its access file, copied from that computer; empty: ~/.local/share/gr1/serve/access.json",
    ),
    Argument(
        "instruction",
        "",
        "what the policy is to do; empty with robot:=sim and driver:=policy: one task after another",
    ),
    Argument(
        "driver",
        "policy",
        "what moves the arm: the policy, the scripted expert (robot:=sim only), or a person with headset, "
        "phone or desk; with expert and teleop a checkpoint that is named runs beside and only predicts",
        DRIVERS,
    ),
    Argument(
        "takeover",
        "false",
        "teleoperation may take over from policy or expert, for as long as the clutch is held",
        TRUE_FALSE,
    ),
    Argument(
        "desk",
        "false",
        "serve the workstation page also where nobody may take over: cameras, policy, recorder, episodes",
        TRUE_FALSE,
    ),
    Argument(
        "host",
        "0.0.0.0",
        "address on which the pages are served, and which the invitation names; 0.0.0.0: all addresses",
    ),
    Argument("port", "8443", "port of the pages for headset, phone and desk (HTTPS); 0: any free one"),
    Argument(
        "task_list",
        "",
        "YAML file with the instructions to demonstrate and how many episodes of each; the pages show it",
    ),
    Argument(
        "ignore_replay",
        "false",
        "driver:=policy: act even with a checkpoint that failed its open-loop replay (gr1 replay)",
        TRUE_FALSE,
    ),
    Argument("record", "false", "record demonstrations: one bag per episode", TRUE_FALSE),
    Argument("bags", "bags", "record:=true: folder for the bags"),
    Argument(
        "images",
        "jpeg",
        "record:=true: camera images in the bags; raw: without loss, about ten times the size",
        ("jpeg", "raw"),
    ),
    Argument(
        "task",
        "",
        "robot:=sim: the task whose table is set up, or several as a,b, done in turn; empty: all in turn "
        "(driver:=teleop, or with an instruction: the first)",
    ),
    Argument(
        "seed",
        "",
        "robot:=sim: seed of the first table; empty: 1000, or where the policy does one task after another "
        "the first seed that no demonstration used",
    ),
    Argument(
        "episodes",
        "0",
        "robot:=sim: end after this many episodes, where tasks are done in turn; 0: no end",
    ),
    Argument(
        "rig",
        "",
        "built-in rig, or a YAML file: cameras, state vector, action scale, rate, limits; empty: the "
        "robot's own, with robot:=sim at the checkpoint's image sizes",
    ),
    Argument("namespace", "", "ROS namespace of all topics and nodes"),
    Argument(
        "rviz",
        "false",
        "start rviz2 with cameras, predicted frames and markers of the commanded motion",
        TRUE_FALSE,
    ),
)
BY_NAME = {argument.name: argument for argument in ARGUMENTS}


def refuse_renamed(given: Mapping[str, str]) -> None:
    """Raises SettingError for a former argument or a former value of one, with the new word."""
    for name, value in given.items():
        if name in renamed.ARGUMENTS:
            new = renamed.ARGUMENTS[name]
            raise SettingError(f"{name}: this argument is now '{new}' (docs/how-to/ros2_launch.md)")
        if (name, value) in renamed.VALUES:
            raise SettingError(f"{name}: '{value}' is now '{renamed.VALUES[name, value]}'")


def with_defaults(given: Mapping[str, str]) -> dict[str, str]:
    """The defaults with `given` on top. Raises SettingError for an unknown name or value, with what is
    possible.
    """
    refuse_renamed(given)
    for name, value in given.items():
        if name not in BY_NAME:
            hint = did_you_mean(name, BY_NAME) or f"; there are {', '.join(BY_NAME)}"
            raise SettingError(f"no argument '{name}'{hint}")
        choices = BY_NAME[name].choices
        if choices and value not in choices:
            possible = ", ".join(filter(None, choices))
            hint = did_you_mean(value, choices)
            raise SettingError(f"{name}: '{value}' is not one of {possible}{hint}")
    return {argument.name: argument.default for argument in ARGUMENTS} | dict(given)
