"""What the stack consists of: from arguments to nodes. No ROS import, so any runner can start it.

`policy.launch.py` hands the nodes to `ros2 launch`; `gr1 up` starts the same nodes as plain processes.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gr1_bringup import hardware, policy_settings
from gr1_bringup.arguments import BY_NAME, CAMERAS, ROBOTS, UNTRAINED, SettingError, with_defaults
from gr1_bringup.files import share
from gr1_core import Rig
from gr1_core.rig import RigError

KINECT_PYTHON = "GR1_KINECT_PYTHON"
"""Environment variable: the interpreter with pyk4a, which needs an older numpy. Without it: that of `make
kinect`.
"""
_NAMESPACE = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
_FIRST_SEED = 1000
_PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"


@dataclass(frozen=True)
class Node:
    """One process: an executable of a ROS package, its name in the graph, its parameter file and parameters
    on top.

    python: the interpreter, where it is not the usual one. environment: variables for this node alone.
    aloud: what it prints besides its log is for the user's eyes.
    """

    package: str
    executable: str
    name: str
    config: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    python: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    aloud: bool = False

    @property
    def module(self) -> str:
        """The Python module behind the executable of one of this project's packages, for `python -m`."""
        return _MODULES.get(self.executable, f"{self.package}.{self.executable}")


_MODULES = {"arm_node": "gr1_robot.arm.node", "camera_node": "gr1_robot.cameras.node"}


def settings(**given: str) -> dict[str, str]:
    """The arguments with defaults filled in and paths made absolute, "tasks_in_turn" (does_tasks_in_turn) and
    "scene_instruction": whether the instruction is the simulated scene's own, not the user's.

    Raises SettingError for a value that cannot be used and for arguments that contradict each other.
    """
    chosen = with_defaults(given)
    policy_settings.check_server(chosen)
    if chosen["robot"] == "sim" and chosen["driver"] == "policy" and not chosen["server"]:
        chosen["checkpoint"] = chosen["checkpoint"] or "demo"
    if chosen["checkpoint"] not in ("", UNTRAINED):
        chosen["checkpoint"] = str(policy_settings.checkpoint_folder(chosen["checkpoint"]))
    chosen["scene_instruction"] = "false"
    chosen["tasks_in_turn"] = str(_may_do_tasks_in_turn(chosen)).lower()
    _check_recording(chosen)
    _check_task_list(chosen)
    _check_driver(chosen)
    rig = rig_settings(chosen)
    _check_simulation_only(chosen)
    _check_numbers(chosen)
    chosen["namespace"] = _namespace(chosen["namespace"])
    policy_settings.check_checkpoint(chosen["checkpoint"], rig)
    if chosen["driver"] == "policy" and chosen["ignore_replay"] == "false":
        policy_settings.check_replay(chosen["checkpoint"])
    if chosen["robot"] == "sim":
        _fill_in_task(chosen)
    return chosen


def _check_recording(chosen: dict[str, str]) -> None:
    if chosen["record"] == "true":
        chosen["bags"] = str(Path(chosen["bags"]).absolute())
        return
    for name in ("bags", "images"):
        if chosen[name] != BY_NAME[name].default:
            raise SettingError(
                f"{name}: '{chosen[name]}' is for recording; add record:=true, or leave it out"
            )


def _check_task_list(chosen: dict[str, str]) -> None:
    if not chosen["task_list"]:
        return
    if not Path(chosen["task_list"]).is_file():
        raise SettingError(
            f"task_list: no file '{chosen['task_list']}': write one with 'tasks:' and a list of instructions "
            "(docs/how-to/collect_demonstrations.md)"
        )
    chosen["task_list"] = str(Path(chosen["task_list"]).absolute())


def _check_driver(chosen: Mapping[str, str]) -> None:
    """Refuses what the driver cannot use."""
    driver = chosen["driver"]
    if driver == "teleop" and chosen["takeover"] == "true":
        raise SettingError(
            "takeover: with driver 'teleop' a person drives already; leave takeover out, or choose driver "
            "policy or expert"
        )
    if driver == "expert" and chosen["instruction"]:
        raise SettingError(
            "instruction: with driver 'expert' each task brings its own; leave instruction out, or choose "
            "a task"
        )
    if driver != "policy" and chosen["ignore_replay"] == "true":
        raise SettingError(
            f"ignore_replay: only driver 'policy' is held back by a replay verdict, not '{driver}'; leave "
            "it out"
        )
    for name in ("host", "port", "task_list"):
        if not with_pages(chosen) and chosen[name] != BY_NAME[name].default:
            raise SettingError(
                f"{name}: '{chosen[name]}' is for the pages; add takeover:=true, driver:=teleop or "
                "desk:=true, or leave it out"
            )
    if chosen["task_list"] and chosen["instruction"]:
        raise SettingError(
            "task_list: the instructions come from the list; leave instruction out, or task_list"
        )


def _check_numbers(chosen: Mapping[str, str]) -> None:
    if not re.fullmatch("[0-9]{1,5}", chosen["port"]) or int(chosen["port"]) > 65535:
        raise SettingError(f"port: '{chosen['port']}' is not a whole number from 0 to 65535")
    for name in ("seed", "episodes"):
        if chosen[name] and not re.fullmatch("[0-9]{1,9}", chosen[name]):
            raise SettingError(f"{name}: '{chosen[name]}' is not a whole number from 0 to 999999999")
    if int(chosen["episodes"]) and not (chosen["driver"] == "expert" or does_tasks_in_turn(chosen)):
        raise SettingError(
            f"episodes: '{chosen['episodes']}' is for tasks in turn, on robot 'sim': choose driver expert, "
            "or driver policy with a trained checkpoint and without instruction, takeover and record; or "
            "leave episodes out"
        )


def _fill_in_task(chosen: dict[str, str]) -> None:
    """Robot sim: the tasks, the first table's seed, and the instruction where there is one task only."""
    from gr1_core.sim import TASKS, suites
    from gr1_core.sim.tasks import parse_task_names

    in_turn = chosen["driver"] == "expert" or does_tasks_in_turn(chosen)
    try:
        tasks = parse_task_names(chosen["task"]) if chosen["task"] else []
    except ValueError as error:
        raise SettingError(f"task: {error}") from error
    if len(tasks) > 1 and not in_turn:
        raise SettingError(
            "task: several are done in turn by driver expert, or by a trained driver policy without "
            f"instruction, takeover and record; choose one of {chosen['task']}"
        )
    first = suites.FIRST_TEST_SEED if does_tasks_in_turn(chosen) else _FIRST_SEED
    chosen["seed"] = chosen["seed"] or str(first)
    if not in_turn:
        chosen["task"] = chosen["task"] or next(iter(TASKS))
        if not (chosen["instruction"] or chosen["task_list"]):
            chosen["instruction"] = TASKS[chosen["task"]].instructions[0]
            chosen["scene_instruction"] = "true"


def does_tasks_in_turn(chosen: Mapping[str, str]) -> bool:
    """Whether the policy is given one task after another, each on a new table."""
    return chosen["tasks_in_turn"] == "true"


def _may_do_tasks_in_turn(chosen: Mapping[str, str]) -> bool:
    return (
        chosen["robot"] == "sim"
        and chosen["driver"] == "policy"
        and chosen["checkpoint"] != UNTRAINED
        and not chosen["instruction"]
        and chosen["takeover"] == chosen["record"] == "false"
    )


def rig_settings(chosen: dict[str, str]) -> Rig:
    """Fills in the rig and the cameras that fit the robot, where none are named, and returns the rig. Raises
    SettingError.
    """
    robot = chosen["robot"]
    simulated = _simulated_rig(chosen["checkpoint"]) if robot == "sim" else ""
    chosen["rig"] = chosen["rig"] or simulated or ROBOTS[robot]
    if not chosen["rig"]:
        raise SettingError(
            f"rig: robot '{robot}' may be any arm: make a rig with `gr1 rig new FILE` and give it with rig"
        )
    for role, usual in (("static", "azure_kinect"), ("wrist", "realsense")):
        chosen[role] = chosen[role] or ("sim" if robot == "sim" else usual)
        if chosen[role] == "sim" and robot != "sim":
            real = ", ".join(CAMERAS[1:])
            raise SettingError(
                f"{role}: a simulated camera sees the simulated arm only; with robot '{robot}' choose {real}"
            )
    _hardware(chosen)
    rig = _rig(chosen["rig"])
    if problems := rig.stop_problems():
        raise SettingError(f"rig: {chosen['rig']}: {problems[0]}")
    return rig


def _simulated_rig(checkpoint: str) -> str:
    """The checkpoint's rig file where it differs from the simulated rig in its cameras only: simulated ones
    fit any size.
    """
    file = Path(checkpoint) / "rig.yaml"
    if not checkpoint or not file.is_file():
        return ""
    theirs, ours = _rig(str(file)), Rig.load(ROBOTS["sim"])
    fits = dataclasses.replace(theirs, name=ours.name, cameras=ours.cameras) == ours
    return str(file.absolute()) if fits else ""


def _check_simulation_only(chosen: Mapping[str, str]) -> None:
    """Refuses for a real robot what only the simulation has."""
    robot = chosen["robot"]
    if robot == "sim":
        return
    if chosen["driver"] == "expert":
        raise SettingError(
            f"driver: the scripted expert sees the simulated table only; with robot '{robot}' choose "
            "policy or teleop"
        )
    for name in ("task", "seed"):
        if chosen[name] != BY_NAME[name].default:
            raise SettingError(
                f"{name}: only the simulated table is set up by it; leave it out with robot '{robot}'"
            )
    if chosen["checkpoint"] == UNTRAINED or (chosen["driver"] == "policy" and not with_policy(chosen)):
        raise SettingError(
            f"checkpoint: robot '{robot}' needs a trained one; an untrained model moves the simulated arm "
            "only"
        )


def _hardware(chosen: Mapping[str, str]) -> dict[str, dict[str, object]]:
    try:
        return hardware.load(chosen["hardware"]) if chosen["hardware"] else {}
    except hardware.HardwareError as error:
        raise SettingError(f"hardware: {error}") from error


def nodes(chosen: Mapping[str, str]) -> tuple[Node, ...]:
    """The processes for these settings, in the order in which they are started."""
    found = rig_nodes(chosen)
    if with_policy(chosen):
        found.append(_policy(chosen))
    if chosen["record"] == "true":
        parameters = {
            "rig": chosen["rig"],
            "root": chosen["bags"],
            "images": chosen["images"],
            "operator": chosen["driver"],
            "instruction": chosen["instruction"],
        } | hardware.stream_rates(_hardware(chosen))
        found.append(Node("gr1_recorder", "recorder_node", "recorder", "recorder.yaml", parameters))
    if chosen["driver"] == "expert":
        found.append(_expert(chosen))
    if does_tasks_in_turn(chosen):
        plan = _plan(chosen)
        found.append(Node("gr1_policy", "task_sequence_node", "task_sequence", "task_sequence.yaml", plan))
    if with_pages(chosen):
        found.append(_teleop(chosen))
    if chosen["rviz"] == "true":
        from gr1_bringup import viewers  # with the arm's kinematics

        found += [Node(**fields) for fields in viewers.programs(chosen["robot"], _rig(chosen["rig"]))]
    lab = _hardware(chosen)
    return tuple(
        dataclasses.replace(node, parameters={**node.parameters, **lab.get(node.name, {})}) for node in found
    )


def _policy(chosen: Mapping[str, str]) -> Node:
    parameters = {
        "robot": chosen["robot"],
        "rig": chosen["rig"],
        "checkpoint": chosen["checkpoint"],
        "server": chosen["server"],
        "server_access": chosen["server_access"],
        "instruction": chosen["instruction"],
        "act": chosen["driver"] == "policy",
        "autostart": True,
        "ignore_replay": chosen["ignore_replay"] == "true",
    }
    return Node("gr1_policy", "policy_node", "policy", "policy.yaml", parameters)


def _expert(chosen: Mapping[str, str]) -> Node:
    plan = _plan(chosen)
    plan["record"] = chosen["record"] == "true"
    if plan["record"]:
        plan["seeds"] = 1_000_000  # recording a table twice teaches nothing
    return Node("gr1_policy", "expert_node", "expert", "expert.yaml", plan)


def _plan(chosen: Mapping[str, str]) -> dict[str, object]:
    """Which episodes the expert or the policy does."""
    return {
        "rig": chosen["rig"],
        "tasks": chosen["task"] or "all",
        "first_seed": int(chosen["seed"]),
        "episodes": int(chosen["episodes"]),
    }


def _teleop(chosen: Mapping[str, str]) -> Node:
    drives = chosen["driver"] == "teleop"
    parameters = {
        "rig": chosen["rig"],
        "host": chosen["host"],
        "port": int(chosen["port"]),
        "bags": chosen["bags"],
        # A policy that acts has its instruction already; publishing it again would restart its rollout.
        "instruction": chosen["instruction"] if drives else "",
        "scene_instruction": chosen["scene_instruction"] == "true",
        "task_list": chosen["task_list"],
        "operate": with_teleop(chosen),
        "reset_scene": chosen["robot"] == "sim" and drives,
    } | hardware.stream_rates(_hardware(chosen), ("camera_static", "camera_wrist"))
    return Node("gr1_teleop", "teleop_node", "teleop", "teleop.yaml", parameters, aloud=True)


def rig_nodes(chosen: Mapping[str, str]) -> list[Node]:
    """The arm and the rig's cameras."""
    robot, common = chosen["robot"], {"rig": chosen["rig"]}
    lab = _hardware(chosen)
    scene = {"sim.seed": int(chosen["seed"] or _FIRST_SEED)}
    if chosen["task"]:
        scene["sim.task"] = chosen["task"].split(",")[0]
    arm = {"robot": robot} | common | (scene if robot == "sim" else {}) | lab.get("arm", {})
    found = [Node("gr1_robot", "arm_node", "arm", "arm.yaml", arm, environment=_arm_environment(arm))]
    for role in _rig(chosen["rig"]).cameras:
        name, driver = f"camera_{role}", chosen[role]
        parameters = {"role": role, "camera_driver": driver} | common | lab.get(name, {})
        python = _kinect_python() if driver == "azure_kinect" else ""
        found.append(Node("gr1_robot", "camera_node", name, f"{name}.yaml", parameters, python=python))
    return found


def _arm_environment(arm: Mapping[str, object]) -> dict[str, str]:
    """The arm node talks UDP by itself, so it does without the stack's profile (gr1_common.dds)."""
    profile, ours = os.environ.get(_PROFILES), environment()[_PROFILES]
    return ({} if profile and profile != ours else {_PROFILES: ""}) | _libraries(arm)


def _libraries(arm: Mapping[str, object]) -> dict[str, str]:
    """The Kinova SDK finds its own parts only where the loader looked when the process began."""
    sdk = str(arm.get("kinova_gen2.sdk", ""))
    if arm["robot"] != "kinova_gen2" or not sdk:
        return {}
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, (sdk, os.environ.get("LD_LIBRARY_PATH"))))}


def _kinect_python() -> str:
    """Empty: the usual interpreter; the node then says what is missing."""
    ours = Path(__file__).resolve().parents[2] / ".venv-kinect" / "bin" / "python"
    return os.environ.get(KINECT_PYTHON) or (str(ours) if ours.is_file() else "")


def with_policy(chosen: Mapping[str, str]) -> bool:
    """A checkpoint or a server runs wherever there is one; it acts with driver policy only."""
    return bool(chosen["checkpoint"] or chosen["server"])


def with_pages(chosen: Mapping[str, str]) -> bool:
    """Whether the pages for headset, phone and desk are served."""
    return with_teleop(chosen) or chosen["desk"] == "true"


def with_teleop(chosen: Mapping[str, str]) -> bool:
    """Whether a person may move the arm."""
    return chosen["driver"] == "teleop" or chosen["takeover"] == "true"


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


def environment() -> Mapping[str, str]:
    """Environment variables for the nodes; a value that the user has set wins.

    The graph ends at this computer: any host of the network could command the arm otherwise. Whoever chooses
    the transports of Fast DDS gets no profile, which would overrule the choice.
    """
    chosen = os.environ.get("FASTDDS_BUILTIN_TRANSPORTS")
    profiles = {} if chosen else {_PROFILES: str(share() / "config" / "fastdds.xml")}
    return {**profiles, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
