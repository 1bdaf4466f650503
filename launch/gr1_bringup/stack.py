"""What the stack is made of: arguments, and the nodes that they lead to. No ROS import, so that any runner can start it.

`policy.launch.py` hands this to `ros2 launch`, `gr1_bringup.up` starts the same nodes as plain processes.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gr1_bringup import hardware
from gr1_core import Rig, pretrained
from gr1_core.eval import verdict
from gr1_core.rig import RigError

TRUE_FALSE = ("true", "false")
CHECKPOINT = ("config.json", "rig.yaml", "model.safetensors")
_NAMESPACE = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


class SettingError(ValueError):
    """An argument of the stack that does not exist or has a value that it cannot have."""


@dataclass(frozen=True)
class Argument:
    """One thing that a user may choose; values are strings, as on a command line."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    """One process: an executable of a ROS package, its name in the graph, its parameter file and what is set on top of that.

    waits: better started when the rest is up; the node itself copes with either. python: the interpreter, where it is not the usual one.
    environment: variables that this node wants beside those of all. aloud: what it prints, its log apart, is for the user's eyes.
    """

    package: str
    executable: str
    name: str
    config: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    waits: bool = False
    python: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    aloud: bool = False

    @property
    def module(self) -> str:
        """The Python module behind the executable of one of our packages, for `python -m`."""
        return _MODULES.get(self.executable, f"{self.package}.{self.executable}")


_MODULES = {"arm_node": "gr1_robot.arm.node", "camera_node": "gr1_robot.cameras.node"}


ROBOTS = {"sim": "kinova_gen2", "kinova_gen2": "kinova_gen2", "kinova_gen3": "kinova_gen3"}
"""Each robot, and the built-in rig that is meant for it."""
CAMERAS = ("sim", "realsense", "azure_kinect", "orbbec")
KINECT_PYTHON = "GR1_KINECT_PYTHON"
"""Environment variable: the interpreter that has pyk4a, which needs an older numpy than the rest; else `make kinect`'s."""
ARGUMENTS = (
    Argument(
        "robot",
        "sim",
        "sim: the simulated tabletop; kinova_gen2: Kinova SDK; kortex: Kinova Gen3",
        tuple(ROBOTS),
    ),
    Argument(
        "static",
        "",
        "source of the static camera; empty: sim for robot:=sim, else azure_kinect",
        ("", *CAMERAS),
    ),
    Argument(
        "wrist", "", "source of the wrist camera; empty: sim for robot:=sim, else realsense", ("", *CAMERAS)
    ),
    Argument(
        "hardware",
        "",
        "YAML file with parameters of arm, camera_static, camera_wrist: serial numbers, addresses, folders",
    ),
    Argument(
        "checkpoint",
        "",
        "folder with weights, config and rig, or demo: the one that comes along; empty: a small UNTRAINED model (robot:=sim only)",
    ),
    Argument(
        "instruction",
        "",
        "what is to be done; empty: the task's own words, on a robot what the desk says; not with drive:=expert",
    ),
    Argument(
        "drive",
        "policy",
        "who moves the arm; expert: the policy runs beside it, sends no command (collect:=true: only with a checkpoint); vr: a person, "
        "with headset, phone or desk",
        ("policy", "expert", "vr"),
    ),
    Argument(
        "teleop",
        "false",
        "teleoperation beside whoever drives: a person takes over by squeezing (drive:=vr has it)",
        TRUE_FALSE,
    ),
    Argument("port", "8443", "teleoperation: port of its pages (HTTPS); 0: any free one"),
    Argument(
        "ignore_replay",
        "false",
        "act even with a checkpoint that failed its open-loop replay (gr1 replay)",
        TRUE_FALSE,
    ),
    Argument("collect", "false", "record demonstrations: one bag per episode", TRUE_FALSE),
    Argument(
        "operator",
        "",
        "collect:=true: who demonstrates, and so who moves the arm; empty: as drive says, vr without a checkpoint",
        ("", "expert", "policy", "vr"),
    ),
    Argument("bags", "bags", "collect:=true: folder that the bags go into"),
    Argument(
        "images",
        "jpeg",
        "collect:=true: what is recorded of the cameras; raw: without loss, about ten times the size",
        ("jpeg", "raw"),
    ),
    Argument(
        "task",
        "",
        "robot:=sim: the task that is set up; drive:=expert: or several, as a,b; empty: the first one, the expert plays all in turn",
    ),
    Argument(
        "seed",
        "1000",
        "robot:=sim: seed of the layout on the table; with drive:=expert, of its first round of the tasks",
    ),
    Argument("episodes", "0", "drive:=expert: end after this many episodes; 0: go on until it is stopped"),
    Argument(
        "rig",
        "",
        "built-in rig, or a YAML file: cameras, state vector, action scale, rate, limits; empty: the robot's own, with robot:=sim at the "
        "checkpoint's picture sizes",
    ),
    Argument("namespace", "", "ROS namespace that all topics and nodes go into"),
    Argument(
        "rviz",
        "false",
        "start rviz2 with cameras, predicted frames and markers of the commanded motion",
        TRUE_FALSE,
    ),
)
_BY_NAME = {argument.name: argument for argument in ARGUMENTS}


def settings(**given: str) -> dict[str, str]:
    """The arguments' defaults with what was given on top. An unknown name or value raises SettingError and says what is possible."""
    for name, value in given.items():
        if name not in _BY_NAME:
            near = difflib.get_close_matches(name, _BY_NAME, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(_BY_NAME)}"
            raise SettingError(f"no argument '{name}': {hint}")
        choices = _BY_NAME[name].choices
        if choices and value not in choices:
            raise SettingError(f"{name}: '{value}' is not one of {', '.join(choices)}")
    chosen = {argument.name: argument.default for argument in ARGUMENTS} | given
    if chosen["checkpoint"]:
        chosen["checkpoint"] = str(pretrained.resolve(chosen["checkpoint"]))
    _collect(chosen)
    rig = rig_settings(chosen)
    _only_simulated(chosen)
    if not re.fullmatch("[0-9]{1,5}", chosen["port"]) or int(chosen["port"]) > 65535:
        raise SettingError(f"port: '{chosen['port']}' is not a whole number from 0 to 65535")
    for name in ("seed", "episodes"):
        if not re.fullmatch("[0-9]{1,9}", chosen[name]):
            raise SettingError(f"{name}: '{chosen[name]}' is not a whole number from 0 to 999999999")
    if chosen["drive"] == "expert" and chosen["instruction"]:
        raise SettingError(
            "instruction: with drive 'expert' each task brings its own words; leave it out, or choose a task"
        )
    if chosen["drive"] != "expert" and int(chosen["episodes"]):
        raise SettingError(
            f"episodes: only the expert plays episodes; choose drive 'expert', or leave {chosen['episodes']} out"
        )
    chosen["namespace"] = _namespace(chosen["namespace"])
    _fits(chosen["checkpoint"], rig)
    if chosen["drive"] == "policy" and chosen["ignore_replay"] == "false":
        _passed(chosen["checkpoint"])
    if chosen["robot"] == "sim":
        from gr1_core.sim import TASKS

        tasks = chosen["task"].split(",") if chosen["task"] else []
        unknown = [task for task in tasks if task not in TASKS]
        if unknown:
            raise SettingError(f"task: '{unknown[0]}' is not one of {', '.join(TASKS)}")
        if len(tasks) > 1 and chosen["drive"] != "expert":
            raise SettingError(f"task: only the expert plays several in turn; choose one of {chosen['task']}")
        if chosen["drive"] != "expert":
            chosen["task"] = chosen["task"] or next(iter(TASKS))
            chosen["instruction"] = chosen["instruction"] or TASKS[chosen["task"]].instructions[0]
    return chosen


def _collect(chosen: dict[str, str]) -> None:
    """What belongs to collect:=true: the operator drives; nothing of it is said in vain."""
    operator = chosen["operator"]
    if chosen["collect"] == "false":
        for name in ("operator", "bags", "images"):
            if chosen[name] != _BY_NAME[name].default:
                raise SettingError(
                    f"{name}: '{chosen[name]}' is for recording; add collect:=true, or leave it out"
                )
        return
    if operator and chosen["drive"] not in (operator, _BY_NAME["drive"].default):
        raise SettingError(
            f"operator: '{operator}' demonstrates, but drive is '{chosen['drive']}': leave drive out"
        )
    # What an untrained model does demonstrates nothing, unless it is asked for by name.
    person = not operator and chosen["drive"] == _BY_NAME["drive"].default and not chosen["checkpoint"]
    chosen["drive"] = "vr" if person else operator or chosen["drive"]
    chosen["operator"] = chosen["drive"]
    chosen["bags"] = str(Path(chosen["bags"]).absolute())


def rig_settings(chosen: dict[str, str]) -> Rig:
    """Fills in the rig and the cameras that fit the robot, where none were named, and returns the rig. Raises SettingError."""
    robot = chosen["robot"]
    chosen["rig"] = (
        chosen["rig"] or (_simulated(chosen["checkpoint"]) if robot == "sim" else "") or ROBOTS[robot]
    )
    for role, usual in (("static", "azure_kinect"), ("wrist", "realsense")):
        chosen[role] = chosen[role] or ("sim" if robot == "sim" else usual)
        if chosen[role] == "sim" and robot != "sim":
            real = ", ".join(CAMERAS[1:])
            raise SettingError(
                f"{role}: a simulated camera sees the simulated arm only; with robot '{robot}' choose {real}"
            )
    _mine(chosen)
    return _rig(chosen["rig"])


def _simulated(checkpoint: str) -> str:
    """The checkpoint's rig where it is the simulated one but for its cameras: simulated ones take pictures of any size."""
    file = Path(checkpoint) / "rig.yaml"
    if not checkpoint or not file.is_file():
        return ""
    theirs, ours = _rig(str(file)), Rig.load(ROBOTS["sim"])
    return (
        str(file.absolute())
        if dataclasses.replace(theirs, name=ours.name, cameras=ours.cameras) == ours
        else ""
    )


def _only_simulated(chosen: Mapping[str, str]) -> None:
    """Refuses what only the simulation has for another robot."""
    robot = chosen["robot"]
    if robot == "sim":
        return
    if chosen["drive"] == "expert":
        raise SettingError(
            f"drive: the scripted expert sees the simulated table only; with robot '{robot}' there are policy and vr"
        )
    for name in ("task", "seed"):
        if chosen[name] != _BY_NAME[name].default:
            raise SettingError(
                f"{name}: only the simulated table is laid by it; leave it out with robot '{robot}'"
            )
    if not chosen["checkpoint"] and with_policy(chosen):
        raise SettingError(
            f"checkpoint: robot '{robot}' needs a trained one; an untrained model moves the simulated arm only"
        )


def _mine(chosen: Mapping[str, str]) -> dict[str, dict[str, object]]:
    try:
        return hardware.load(chosen["hardware"]) if chosen["hardware"] else {}
    except hardware.HardwareError as error:
        raise SettingError(f"hardware: {error}") from error


def nodes(chosen: Mapping[str, str]) -> tuple[Node, ...]:
    """The processes that these settings lead to, in the order in which they are started."""
    robot, rig, expert, collect = (
        chosen["robot"],
        chosen["rig"],
        chosen["drive"] == "expert",
        chosen["collect"] == "true",
    )
    found = rig_nodes(chosen)
    if with_policy(chosen):
        acts = chosen["drive"] == "policy"
        policy = {
            "checkpoint": chosen["checkpoint"],
            "instruction": chosen["instruction"],
            "act": acts,
            "autostart": True,
        }
        policy["ignore_replay"] = chosen["ignore_replay"] == "true"
        found.append(
            Node("gr1_policy", "policy_node", "policy", "policy.yaml", {"robot": robot, "rig": rig} | policy)
        )
    if collect:
        what = {
            "root": chosen["bags"],
            "images": chosen["images"],
            "operator": chosen["operator"],
            "instruction": chosen["instruction"],
        }
        found.append(Node("gr1_recorder", "recorder_node", "recorder", "recorder.yaml", {"rig": rig} | what))
    if expert:
        plan = {
            "tasks": chosen["task"] or "all",
            "first_seed": int(chosen["seed"]),
            "episodes": int(chosen["episodes"]),
            "record": collect,
        }
        if collect:
            plan["seeds"] = 1_000_000  # a demonstration of a layout that was recorded before teaches nothing
        found.append(
            Node("gr1_policy", "expert_node", "expert", "expert.yaml", {"rig": rig} | plan, waits=True)
        )
    if with_teleop(chosen):
        # Where a policy acts, its instruction is known to it: saying it again would begin its rollout anew.
        said = chosen["instruction"] if chosen["drive"] == "vr" else ""
        pages = {"port": int(chosen["port"]), "bags": chosen["bags"], "instruction": said}
        pages["new_tables"] = robot == "sim" and chosen["drive"] == "vr"
        found.append(
            Node("gr1_teleop", "teleop_node", "teleop", "teleop.yaml", {"rig": rig} | pages, aloud=True)
        )
    if chosen["rviz"] == "true":
        found.append(Node("rviz2", "rviz2", "rviz", arguments=("-d", str(share() / "rviz" / "gr1.rviz"))))
    return tuple(found)


def rig_nodes(chosen: Mapping[str, str]) -> list[Node]:
    """The arm and its two cameras."""
    robot, common = chosen["robot"], {"rig": chosen["rig"]}
    mine = _mine(chosen)
    episode = {"sim.seed": int(chosen["seed"])} | (
        {"sim.task": chosen["task"].split(",")[0]} if chosen["task"] else {}
    )
    arm = {"robot": robot} | common | (episode if robot == "sim" else {}) | mine.get("arm", {})
    found = [Node("gr1_robot", "arm_node", "arm", "arm.yaml", arm, environment=_libraries(arm))]
    for role in ("static", "wrist"):
        name, source = f"camera_{role}", chosen[role]
        parameters = {"role": role, "source": source} | common | mine.get(name, {})
        python = _kinect_python() if source == "azure_kinect" else ""
        found.append(Node("gr1_robot", "camera_node", name, f"{name}.yaml", parameters, python=python))
    return found


def _libraries(arm: Mapping[str, object]) -> dict[str, str]:
    """The Kinova SDK finds its own parts only where the loader looked when the process began."""
    sdk = str(arm.get("kinova_gen2.sdk", ""))
    if arm["robot"] != "kinova_gen2" or not sdk:
        return {}
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, (sdk, os.environ.get("LD_LIBRARY_PATH"))))}


def _kinect_python() -> str:
    """Without one the usual interpreter is taken, and the node says what is missing."""
    ours = Path(__file__).resolve().parents[2] / ".venv-kinect" / "bin" / "python"
    return os.environ.get(KINECT_PYTHON) or (str(ours) if ours.is_file() else "")


def with_policy(chosen: Mapping[str, str]) -> bool:
    """Where somebody else demonstrates, an untrained model beside it would only cost time."""
    watches = chosen["drive"] == "expert" and chosen["collect"] == "false"
    return chosen["drive"] == "policy" or watches or bool(chosen["checkpoint"])


def with_teleop(chosen: Mapping[str, str]) -> bool:
    return chosen["drive"] == "vr" or chosen["teleop"] == "true"


def _namespace(given: str) -> str:
    """The namespace without slashes around it."""
    name = given.strip("/")
    if name and not _NAMESPACE.fullmatch(name):
        rule = "letters, digits and underscores, parts divided by '/', none beginning with a digit"
        raise SettingError(f"namespace: '{given}' is not a ROS name ({rule})")
    return name


def _rig(source: str) -> Rig:
    try:
        return Rig.load(source)
    except (RigError, OSError) as error:
        raise SettingError(f"rig: {error}") from error


def _fits(checkpoint: str, rig: Rig) -> None:
    """Refuses what can be seen of a checkpoint without torch; the policy node looks at its configuration and weights."""
    if not checkpoint:
        return
    folder, needed = Path(checkpoint), ", ".join(CHECKPOINT)
    if folder.is_file():
        raise SettingError(f"checkpoint: '{checkpoint}' is a file; a checkpoint is a folder with {needed}")
    if not folder.is_dir():
        raise SettingError(f"checkpoint: no folder '{checkpoint}'")
    missing = [name for name in CHECKPOINT if not (folder / name).is_file()]
    if missing:
        raise SettingError(
            f"checkpoint: '{checkpoint}' is not a whole checkpoint: {', '.join(missing)} is missing"
        )
    try:
        rig.require_same(_rig(str(folder / "rig.yaml")), f"checkpoint {checkpoint}")
    except RigError as error:
        raise SettingError(f"checkpoint: {error}") from error


def _passed(checkpoint: str) -> None:
    try:
        why = verdict.refusal(checkpoint) if checkpoint else ""
    except (OSError, ValueError) as error:
        why = str(error)
    if why:
        raise SettingError(f"checkpoint: {why}; ignore_replay:=true lets it move all the same")


def environment() -> Mapping[str, str]:
    """Environment variables that the nodes want; a value that the user has set wins."""
    return {"FASTRTPS_DEFAULT_PROFILES_FILE": str(share() / "config" / "fastdds.xml")}


def share() -> Path:
    """The folder with config/ and rviz/: beside the package in a source tree, in share/gr1_bringup once installed."""
    here = Path(__file__).resolve()
    folders = [here.parent.parent, *(parent / "share" / "gr1_bringup" for parent in here.parents)]
    for folder in folders:
        if (folder / "config" / "policy.yaml").is_file():
            return folder
    raise FileNotFoundError(
        f"gr1_bringup's config/ is neither beside {here.parent} nor in a share/gr1_bringup above it: reinstall it"
    )
