"""A checkout of mees/calvin with mees/calvin_env inside: what is taken out of it, and how it is imported
unedited.

The simulator's own imports are only needed in part. Packages that are missing get stand-ins, so that
pybullet, hydra-core and omegaconf suffice. Two functions of calvin_agent are lifted out of their files,
because their modules import whole training frameworks.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import subprocess
import sys
import types
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

VARIABLE = "CALVIN_ROOT"
SCENES = ("A", "B", "C", "D")
REQUIRED = ("pybullet", "hydra", "omegaconf", "scipy")
_PIP = {"hydra": "hydra-core"}
_ENV_CONF = Path("calvin_env") / "conf"
_AGENT = Path("calvin_models") / "calvin_agent"
_TASKS = Path("calvin_models") / "conf" / "callbacks" / "rollout" / "tasks" / "new_playtable_tasks.yaml"
_INSTRUCTIONS = Path("calvin_models") / "conf" / "annotations" / "new_playtable_validation.yaml"
_TRAINING_INSTRUCTIONS = _INSTRUCTIONS.with_name("new_playtable.yaml")
_FILES = (
    _ENV_CONF / "env" / "play_table_env.yaml",
    _TASKS,
    _INSTRUCTIONS,
    _AGENT / "evaluation" / "multistep_sequences.py",
)
_BUTTON = Path("calvin_env") / "calvin_env" / "scene" / "objects" / "button.py"


class CheckoutError(ValueError):
    """No usable checkout of CALVIN, or packages that it needs are missing."""


@dataclass(frozen=True)
class Checkout:
    """root: the folder of mees/calvin; mees/calvin_env lies in root/calvin_env."""

    root: Path

    @classmethod
    def open(cls, root: str | os.PathLike | None = None) -> Checkout:
        """root: None takes the environment variable CALVIN_ROOT.

        Raises CheckoutError, which says what to clone or to install.
        """
        root = root or os.environ.get(VARIABLE)
        if not root:
            raise CheckoutError(
                f"no checkout of CALVIN: give --calvin-root DIR or set {VARIABLE}; "
                "clone https://github.com/mees/calvin, and https://github.com/mees/calvin_env into its "
                "folder calvin_env"
            )
        root = Path(root).expanduser().resolve()
        missing = [str(name) for name in _FILES if not (root / name).is_file()]
        if missing:
            env = any(name.startswith("calvin_env") for name in missing)
            remedy = (
                "clone https://github.com/mees/calvin_env into its folder calvin_env"
                if env
                else "is it a clone of mees/calvin?"
            )
            raise CheckoutError(
                f"{root} is not a whole checkout of CALVIN, {', '.join(missing)} is missing: {remedy}"
            )
        return cls(root)

    def require_packages(self) -> None:
        """Raises CheckoutError where a package that the simulator cannot do without is not installed."""
        missing = [_PIP.get(name, name) for name in REQUIRED if not _is_installed(name)]
        if missing:
            raise CheckoutError(
                f"CALVIN's simulator needs {', '.join(missing)}: `make calvin`, or `pip install "
                f"{' '.join(missing)}`"
            )

    def commits(self) -> dict[str, str]:
        """{"calvin", "calvin_env"}: commit ids, with "+modified" where tracked files differ; "unknown"
        without git.
        """
        return {"calvin": _commit(self.root), "calvin_env": _commit(self.root / "calvin_env")}

    def warnings(self) -> list[str]:
        """What makes scores incomparable with published ones."""
        path = self.root / _BUTTON
        if path.is_file() and not _button_keeps_its_light(path.read_text()):
            return [
                "calvin_env is older than 797142c: its button forgets that the LED is on, and "
                "`turn_off_led` needs two presses, "
                "which changes the score; run `git -C calvin_env checkout 797142c` or later"
            ]
        return []

    def tasks(self) -> dict[str, list]:
        """The 34 tasks' definitions, {task: [function of calvin_env's Tasks, arguments]}, in the order of the
        checkout's file.
        """
        return dict(_plain(self.root / _TASKS)["tasks"])

    def instructions(self) -> dict[str, str]:
        """{task: the instruction that the official evaluation gives}, the first of the validation
        annotations.
        """
        return {task: texts[0] for task, texts in _plain(self.root / _INSTRUCTIONS).items()}

    def training_instructions(self) -> dict[str, list[str]]:
        """{task: the instructions that the official training annotations were made of}."""
        return {task: list(texts) for task, texts in _plain(self.root / _TRAINING_INSTRUCTIONS).items()}

    def oracle(self):
        """calvin_env's Tasks: get_task_info_for_set(start_info, end_info, {task}) -> the set of tasks that
        are done.
        """
        self._import_simulator()
        return importlib.import_module("calvin_env.envs.tasks").Tasks(self.tasks())

    def configuration(
        self,
        scene: str = "D",
        cameras: tuple[str, ...] = ("static", "gripper"),
        egl: bool = False,
        seed: int = 0,
    ):
        """What the official merged_config.yaml holds, composed from the checkout's own files.

        Returns an OmegaConf tree.
        """
        from omegaconf import OmegaConf

        folder = self.root / _ENV_CONF
        path = folder / "scene" / f"calvin_scene_{scene}.yaml"
        if not path.is_file():
            raise CheckoutError(f"scene '{scene}' is not one of {', '.join(SCENES)}: {path} is missing")
        robot = OmegaConf.merge(
            OmegaConf.load(folder / "robot" / "panda.yaml"),
            OmegaConf.load(folder / "robot" / "panda_longer_finger.yaml"),
        )
        robot.pop("defaults", None)
        env = OmegaConf.load(folder / "env" / "play_table_env.yaml")
        env.use_egl, env.seed = egl, seed
        named = {name: OmegaConf.load(folder / "cameras" / "cameras" / f"{name}.yaml") for name in cameras}
        parts = {"cameras": named, "env": env, "scene": OmegaConf.load(path), "robot": robot}
        return OmegaConf.create(parts | {"data_path": "data", "show_gui": False, "use_vr": False})

    def make_environment(self, configuration):
        """A PlayTableSimEnv of a configuration.

        One a process: some of its calls reach pybullet's first client whatever the client.
        """
        self._import_simulator()
        import hydra

        return hydra.utils.instantiate(configuration.env, show_gui=False, use_vr=False, use_scene_info=True)

    def initial_state_function(self):
        """evaluation/utils.py's get_env_state_for_initial_condition: a condition of a chain -> robot_obs
        [15], scene_obs [24].
        """
        space = {"np": np, "pi": np.pi, "contextlib": contextlib, "hasher": fnv1_32}
        names = ("temp_seed", "get_env_state_for_initial_condition")
        return _lift(self.root / _AGENT / "evaluation" / "utils.py", names, space)[
            "get_env_state_for_initial_condition"
        ]

    def sequences_module(self) -> dict:
        """The names of evaluation/multistep_sequences.py, without the import of calvin_agent that it begins
        with.
        """
        utils = _lift(
            self.root / _AGENT / "evaluation" / "utils.py",
            ("temp_seed",),
            {"np": np, "contextlib": contextlib},
        )
        path = self.root / _AGENT / "evaluation" / "multistep_sequences.py"
        tree = ast.parse(path.read_text(), str(path))
        tree.body = [
            node
            for node in tree.body
            if not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("calvin_agent"))
        ]
        space = {"__name__": "multistep_sequences", "temp_seed": utils["temp_seed"]}
        exec(compile(tree, str(path), "exec"), space)  # noqa: S102  the user's own checkout, which is run anyway
        return space

    def _import_simulator(self) -> None:
        self.require_packages()
        folder = str(self.root / "calvin_env")
        if folder not in sys.path:
            sys.path.insert(0, folder)
        _put_stand_ins()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module("calvin_env.envs.play_table_env")
        # It reads its own repository when an environment is made, and fails where there is none, or one of
        # another user.
        module.get_git_commit_hash = lambda *_: "unknown"


def fnv1_32(text: str) -> int:
    """pyhash.fnv1_32 with its default seed: FNV-1 of 32 bits from 0."""
    value = 0
    for byte in text.encode():
        value = (value * 0x01000193 & 0xFFFFFFFF) ^ byte
    return value


def _plain(path: Path) -> dict:
    import yaml

    return yaml.safe_load(path.read_text())


def _is_installed(name: str) -> bool:
    if name in sys.modules:
        return True
    return importlib.util.find_spec(name) is not None


def _lift(path: Path, names: tuple[str, ...], space: dict) -> dict:
    """Executes only these functions of a file, with `space` as their globals.

    Raises CheckoutError where one is missing.
    """
    tree = ast.parse(path.read_text(), str(path))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    found = {node.name for node in tree.body}
    if missing := [name for name in names if name not in found]:
        raise CheckoutError(
            f"{path} has no function {', '.join(missing)}: a version of CALVIN that is not known here"
        )
    exec(compile(tree, str(path), "exec"), space)  # noqa: S102  the user's own checkout, which is run anyway
    return space


def _put_stand_ins() -> None:
    """Modules that the simulator imports but does not use with two cameras and Bullet's kinematics."""

    def module(name: str, **names) -> None:
        made = types.ModuleType(name)
        made.__dict__.update(names)
        sys.modules[name] = made
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, made)

    if not _is_installed("gym"):
        module("gym", Env=type("Env", (), {}))
        module("gym.utils")
        module("gym.utils.seeding", np_random=lambda seed=None: (np.random.default_rng(seed), seed))
    for name in ("quaternion", "git", "cv2"):
        if not _is_installed(name):
            module(name)
    if not _is_installed("rich"):
        module("rich")
        module("rich.traceback", install=lambda *_, **__: None)


def _commit(folder: Path) -> str:
    git = ("git", "-c", "safe.directory=*", "-C", str(folder))

    def read(*arguments: str) -> str:
        return subprocess.run([*git, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(read("rev-parse", "--show-toplevel")).resolve() != folder.resolve():
            return "unknown"  # an unpacked archive inside of another repository
        modified = read("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
        return read("rev-parse", "HEAD") + ("+modified" if modified else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _button_keeps_its_light(source: str) -> bool:
    """Whether Button.reset takes its state over from the light, as it does from 797142c on."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == "reset":
            return any(isinstance(part, ast.Attribute) and part.attr == "light" for part in ast.walk(node))
    return True
