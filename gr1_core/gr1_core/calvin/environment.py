"""One CALVIN simulator in this process: reset, step, observations, and what the oracle needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass

import numpy as np

from gr1_core.calvin.checkout import Checkout

RENDERERS = ("egl", "tiny")
CAMERAS = {"static": "static", "wrist": "gripper"}
"""The rig's role -> the simulator's name of the camera."""
FRAMES_PER_SECOND = 30
SCENE_FIELDS = ("slider", "drawer", "button", "switch", "lightbulb", "led")
BLOCKS = ("red", "blue", "pink")


@dataclass(frozen=True)
class State:
    """robot: f64[15], tcp xyz, tcp Euler xyz, gripper width, 7 joints, gripper command.

    scene: f64[24], SCENE_FIELDS, then BLOCKS' poses.
    """

    robot: np.ndarray
    scene: np.ndarray

    @property
    def tcp(self) -> np.ndarray:
        """f64[3], metres, the world's frame."""
        return self.robot[:3]

    @property
    def euler(self) -> np.ndarray:
        return self.robot[3:6]

    @property
    def gripper_width(self) -> float:
        """Metres between the fingers, 0 .. 0.08."""
        return float(self.robot[6])

    @property
    def gripper(self) -> float:
        """The last command, +1 open or -1 closed."""
        return float(self.robot[14])

    def fixture(self, name: str) -> float:
        """One of SCENE_FIELDS: a joint's position in metres, or a light's 0 or 1."""
        return float(self.scene[SCENE_FIELDS.index(name)])

    def block(self, name: str) -> np.ndarray:
        """f64[6]: xyz in metres and Euler xyz of a block's centre."""
        start = len(SCENE_FIELDS) + 6 * BLOCKS.index(name)
        return self.scene[start : start + 6]


class Simulator:
    """The official environment with its two cameras, or without any (20 times as fast).

    Make one a process: it hides what pybullet prints to the process's standard output, and pybullet mixes
    clients up.
    """

    def __init__(
        self,
        checkout: Checkout,
        scene: str = "D",
        renderer: str = "tiny",
        cameras: bool = True,
        seed: int = 0,
    ):
        names = tuple(CAMERAS.values()) if cameras else ()
        with _silence():
            self.environment = checkout.make_environment(
                checkout.configuration(scene, names, renderer == "egl", seed)
            )
        self._cameras = self.environment.cameras
        self._rendering = bool(self._cameras)
        self._frames: dict[str, np.ndarray] = {}
        self._depths: dict[str, np.ndarray] = {}
        self.state: State
        self.info: Mapping

    @property
    def render(self) -> bool:
        """Whether steps and resets make images. Without them the simulator is 20 times as fast."""
        return self._rendering

    @render.setter
    def render(self, value: bool) -> None:
        self._rendering = value
        self.environment.cameras = self._cameras if value else []

    def reset(self, robot: np.ndarray | None = None, scene: np.ndarray | None = None) -> None:
        """Puts everything to a state, as at the start of a chain; None: where the scene's file says, blocks
        at random.
        """
        self._take(self.environment.reset(robot_obs=robot, scene_obs=scene))
        self.info = self.environment.get_info()

    def step(self, delta: np.ndarray, gripper: float) -> Mapping:
        """One control period of 1/30 s. delta: f[6], relative action (1 = 0.02 m or 0.05 rad).

        gripper: above 0 opens. Returns the info.

        The simulator integrates the deltas on a target pose of its own and does not clip them.
        """
        action = np.empty(7)
        action[:6], action[6] = delta, 1.0 if gripper > 0 else -1.0
        observation, _, _, self.info = self.environment.step(action)
        self._take(observation)
        return self.info

    def look(self) -> None:
        """Renders the present moment, also where `render` is off."""
        self.environment.cameras = self._cameras
        self._take(self.environment.get_obs())
        if not self._rendering:
            self.environment.cameras = []

    def observation(self) -> dict:
        """The fields of a gr1_core.policy.Observation."""
        return self._frames | {
            "arm": self.state.robot[:6].copy(),
            "gripper": 1.0 if self.state.gripper > 0 else -1.0,
        }

    @property
    def depths(self) -> dict[str, np.ndarray]:
        """{role: f32[H, W]} of the last observation, metres."""
        return self._depths

    def target(self) -> np.ndarray:
        """f64[6]: the pose that relative actions are added to. An action changes it; contact does not."""
        robot = self.environment.robot
        return np.concatenate([robot.target_pos, robot.target_orn])

    def close(self) -> None:
        with _silence():
            self.environment.close()
            self.environment.cid = -1  # its destructor disconnects again

    def _take(self, observation: Mapping) -> None:
        self.state = State(
            np.array(observation["robot_obs"], np.float64), np.array(observation["scene_obs"], np.float64)
        )
        self._frames, self._depths = {}, {}
        for role, name in CAMERAS.items():
            if (frame := observation["rgb_obs"].get(f"rgb_{name}")) is not None:
                self._frames[role] = np.ascontiguousarray(frame)
                self._depths[role] = np.ascontiguousarray(observation["depth_obs"][f"depth_{name}"])


@contextmanager
def _silence():
    """Nothing is printed for a while: Python's prints go nowhere, and file descriptor 1 as well, where
    pybullet prints from C.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w") as sink, redirect_stdout(sink):
        os.dup2(sink.fileno(), 1)
        try:
            yield
        finally:
            sink.flush()
            os.dup2(kept, 1)
            os.close(kept)
