"""A checkout of CALVIN in small: the same files, names and calls, with a simulator of a few lines.

Nothing in it is CALVIN's. Its world has an arm that goes where it is told, a button that toggles the LED when
the hand is on it, and a drawer whose handle follows a closed hand. Stand-ins of pybullet, hydra and omegaconf
lie beside it, so that the tests need none of them.
"""

from pathlib import Path

import yaml

from gr1_core.calvin.expert import TASKS

PLAYED = ("turn_on_led", "open_drawer", "turn_off_led", "close_drawer", "lift_red_block_table")
"""The tasks of the stand-in's chains; the last one cannot be done there."""

_ENVIRONMENT = """
import numpy as np

BUTTON, HANDLE = np.array([-0.12, -0.12, 0.485]), np.array([0.18, -0.2475, 0.387])


def get_git_commit_hash(path):
    raise RuntimeError("no repository")


class Light:
    def __init__(self, name):
        self.name = name


class Camera:
    def __init__(self, env, name, side):
        self.env, self.name, self.side = env, name, side

    def render(self):
        image = np.zeros((self.side, self.side, 4), np.uint8)
        image[..., 1] = 200 * self.env.led
        image[..., 0] = np.uint8(255 * abs(self.env.pose[0]) % 255)
        return image[:, :, :3], np.ones((self.side, self.side), np.float32)


class Robot:
    pass


class PlayTableSimEnv:
    def __init__(self, cameras, seed, use_egl, show_gui, use_vr, use_scene_info, **_):
        assert not show_gui and not use_vr and use_scene_info
        get_git_commit_hash(__file__)
        print("the simulator prints")
        self.robot = Robot()
        self.cameras = [Camera(self, name, {"static": 200, "gripper": 84}[name]) for name in cameras]
        self.cid, self.resets = 0, 0
        self.reset()

    def reset(self, robot_obs=None, scene_obs=None):
        robot = np.zeros(15) if robot_obs is None else np.asarray(robot_obs, float)
        scene = np.zeros(24) if scene_obs is None else np.asarray(scene_obs, float)
        self.pose, self.gripper = robot[:6].copy(), 1.0
        self.drawer, self.led, self.pressed = float(scene[1]), int(scene[5]), False
        self.blocks = scene[6:].copy()
        self.resets += 1
        self._target()
        return self.get_obs()

    def _target(self):
        self.robot.target_pos, self.robot.target_orn = self.pose[:3].copy(), self.pose[3:].copy()

    def step(self, action):
        assert isinstance(action, np.ndarray) and action.dtype.kind == "f" and action[6] in (-1, 1)
        move, self.gripper = action[:6], action[6]
        move[:3] *= 0.02  # in place, as older versions do
        move[3:] *= 0.05
        handle = HANDLE - [0, self.drawer, 0]
        if self.gripper < 0 and np.linalg.norm(self.pose[:3] - handle) < 0.075:
            self.drawer = float(np.clip(self.drawer - move[1], 0, 0.22))
        self.pose = self.pose + move
        on = bool(np.linalg.norm(self.pose[:3] - BUTTON) < 0.01)
        if on and not self.pressed:
            self.led = 1 - self.led
        self.pressed = on
        self._target()
        return self.get_obs(), 0, False, self.get_info()

    def get_obs(self):
        images = {camera.name: camera.render() for camera in self.cameras}
        width = 0.08 if self.gripper > 0 else 0.0
        robot = np.array([*self.pose, width, *np.zeros(7), self.gripper])
        scene = np.array([0, self.drawer, 0, 0, 0, self.led, *self.blocks])
        return {
            "rgb_obs": {f"rgb_{name}": image for name, (image, _) in images.items()},
            "depth_obs": {f"depth_{name}": depth for name, (_, depth) in images.items()},
            "robot_obs": robot,
            "scene_obs": scene,
        }

    def get_info(self):
        return {"led": self.led, "drawer": self.drawer, "resets": self.resets}

    def close(self):
        print("disconnecting")
"""

_TASKS = """
class Tasks:
    def __init__(self, tasks):
        self.tasks = dict(tasks)

    def get_task_info_for_set(self, start_info, end_info, task_filter):
        moved = end_info["drawer"] - start_info["drawer"]
        done = {
            "turn_on_led": (start_info["led"], end_info["led"]) == (0, 1),
            "turn_off_led": (start_info["led"], end_info["led"]) == (1, 0),
            "open_drawer": moved > 0.12,
            "close_drawer": moved < -0.12,
        }
        return {name for name in task_filter if done.get(name, False)}
"""

_UTILS = """
import a_training_framework_that_is_not_installed


@contextlib.contextmanager
def temp_seed(seed):
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def get_env_state_for_initial_condition(initial_condition):
    robot, scene = np.zeros(15), np.zeros(24)
    robot[:6] = 0.026, -0.231, 0.571, 3.09, -0.03, 1.5
    robot[6], robot[14] = 0.08, 1.0
    with temp_seed(hasher(str(initial_condition.values()))):
        robot[0] += np.random.uniform(-0.01, 0.01)
    scene[1] = 0.22 * (initial_condition["drawer"] == "open")
    scene[5] = initial_condition["led"]
    for index in range(3):
        scene[6 + 6 * index : 9 + 6 * index] = 0.1 * index, 0.3, 0.46
    return robot, scene
"""

_SEQUENCES = """
from concurrent.futures import ProcessPoolExecutor

from calvin_agent.evaluation.utils import temp_seed
import numpy as np

tasks = {
    "turn_on_led": [{"condition": {"led": 0}, "effect": {"led": 1}}],
    "turn_off_led": [{"condition": {"led": 1}, "effect": {"led": 0}}],
    "open_drawer": [{"condition": {"drawer": "closed"}, "effect": {"drawer": "open"}}],
    "close_drawer": [{"condition": {"drawer": "open"}, "effect": {"drawer": "closed"}}],
}


def valid_task(state, rules):
    fits = [rule for rule in rules if all(state[key] == value for key, value in rule["condition"].items())]
    return [{**state, **rule["effect"]} for rule in fits]


def get_sequences_for_state2(arguments):
    state, count, seed = arguments
    np.random.seed(seed)
    one = ("turn_on_led", "open_drawer", "turn_off_led", "close_drawer", "lift_red_block_table")
    other = ("open_drawer", "turn_on_led", "close_drawer", "turn_off_led", "lift_red_block_table")
    return [one if np.random.rand() < 0.5 else other for _ in range(count)]


def get_sequences(num_sequences=1000, num_workers=None):
    state = {"led": 0, "lightbulb": 0, "slider": "left", "drawer": "closed", "grasped": 0}
    counts = [len(part) for part in np.array_split(range(num_sequences), 4)]
    with temp_seed(0):
        with ProcessPoolExecutor(max_workers=num_workers) as executor:
            work = [(state, count, seed) for seed, count in enumerate(counts)]
            made = executor.map(get_sequences_for_state2, work)
            chains = [(state, tuple(tasks)) for part in made for tasks in part]
        chains = [chains[index] for index in np.random.permutation(len(chains))]
    return chains
"""

_OMEGACONF = """
import copy
import yaml


class Node(dict):
    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error

    def __setattr__(self, name, value):
        self[name] = value


def _node(value):
    return Node({key: _node(item) for key, item in value.items()}) if isinstance(value, dict) else value


class OmegaConf:
    load = staticmethod(lambda path: _node(yaml.safe_load(open(path).read())))

    @staticmethod
    def create(value):
        root = _node(copy.deepcopy(value))
        named = {key: item[2:-1] for key, item in root.env.items() if str(item).startswith("${")}
        root.env.update({key: root[name] for key, name in named.items()})
        return root


    @staticmethod
    def merge(*parts):
        return _node({key: value for part in parts for key, value in part.items()})

    to_yaml = staticmethod(lambda node: yaml.safe_dump({key: str(value) for key, value in node.items()}))
"""

_HYDRA = """
import importlib


class utils:
    @staticmethod
    def instantiate(node, **more):
        module, _, name = node["_target_"].rpartition(".")
        known = {key: value for key, value in node.items() if not key.startswith("_")} | more
        return getattr(importlib.import_module(module), name)(**known)
"""

_ENVIRONMENT_YAML = """
_target_: calvin_env.envs.play_table_env.PlayTableSimEnv
seed: 0
use_egl: true
cameras: ${cameras}
"""

_BUTTON = {
    "new": "class Button:\n    def reset(self, state=None):\n        self.state = self.light\n",
    "old": "class Button:\n    def reset(self, state=None):\n        self.state = 0\n",
}


def make_checkout(folder: Path, button: str = "new") -> Path:
    """Writes the stand-in; returns its root. button: "old" as before calvin_env 797142c."""
    env, models = folder / "calvin_env", folder / "calvin_models"
    files = {
        env / "calvin_env/__init__.py": "",
        env / "calvin_env/envs/__init__.py": "",
        env / "calvin_env/envs/play_table_env.py": _ENVIRONMENT,
        env / "calvin_env/envs/tasks.py": _TASKS,
        env / "calvin_env/scene/objects/button.py": _BUTTON[button],
        env / "conf/env/play_table_env.yaml": _ENVIRONMENT_YAML,
        env / "conf/robot/panda.yaml": "{filename: a}\n",
        env / "conf/robot/panda_longer_finger.yaml": "{defaults: [panda], filename: b}\n",
        env / "conf/cameras/cameras/static.yaml": "{name: static}\n",
        env / "conf/cameras/cameras/gripper.yaml": "{name: gripper}\n",
        models / "calvin_agent/evaluation/utils.py": _UTILS,
        models / "calvin_agent/evaluation/multistep_sequences.py": _SEQUENCES,
        models / "conf/callbacks/rollout/tasks/new_playtable_tasks.yaml": yaml.safe_dump(
            {"tasks": {task: ["f"] for task in TASKS}}
        ),
    }
    for scene in "ABCD":
        files[env / f"conf/scene/calvin_scene_{scene}.yaml"] = "{name: scene}\n"
    for name, form in (("new_playtable", "{} now"), ("new_playtable_validation", "please {}")):
        texts = {task: [form.format(task.replace("_", " "))] for task in TASKS}
        files[models / f"conf/annotations/{name}.yaml"] = yaml.safe_dump(texts)
    files |= {
        folder / "stubs/omegaconf.py": _OMEGACONF,
        folder / "stubs/hydra.py": _HYDRA,
        folder / "stubs/pybullet.py": "",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
