"""The simulated rig as a gymnasium environment, with the timing of the real loop: an action takes effect one
control period after its observation.
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from gr1_core.rig import ROLES, Rig
from gr1_core.sim.expert import Command
from gr1_core.sim.renderer import Renderer
from gr1_core.sim.rollout import SUCCESS_PERIODS, run_episode
from gr1_core.sim.state import StateView
from gr1_core.sim.tasks import find_task
from gr1_core.sim.twin import Twin


class _Rest:
    """An actor that asks for nothing; each command is given by `step` instead."""

    def act(self, state: np.ndarray) -> Command:
        return Command(np.zeros(3), np.zeros(3), StateView(state).closure_target)


class TwinEnvironment(gym.Env):
    """Observations: `pixels`, each camera's u8[H, W, 3], and `agent_pos`, the model's state f32[7].

    Actions f32[7]: six deltas in the model's units and the gripper, +1 open or -1 closed. Reward 1 while the
    goal holds.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, task: str, rig: str, seconds: float, render_mode: str = "rgb_array"):
        self.task, self.render_mode = task, render_mode
        self.task_description = find_task(task).instructions[0]
        self._rig, self._seconds = Rig.load(rig), seconds
        self._max_episode_steps = round(seconds / self._rig.period)
        self.twin = Twin()
        cameras = self._rig.cameras
        self._cameras = {role: Renderer(role, cameras[role].width, cameras[role].height) for role in ROLES}
        pixels = {
            role: gym.spaces.Box(0, 255, (cameras[role].height, cameras[role].width, 3), np.uint8)
            for role in ROLES
        }
        self.observation_space = gym.spaces.Dict(
            {
                "pixels": gym.spaces.Dict(pixels),
                "agent_pos": gym.spaces.Box(-np.inf, np.inf, (7,), np.float32),
            }
        )
        self.action_space = gym.spaces.Box(-np.inf, np.inf, (7,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        layout = int(self.np_random.integers(2**31)) if seed is None else seed
        self.twin.reset(self.task, layout)
        self._episode = run_episode(
            self.twin, _Rest(), self._rig, self._seconds, disturb=lambda state, command: self._command
        )
        self._successes = 0
        self._state, _, _ = next(self._episode)
        return self._observation(), {"is_success": False}

    def step(self, action):
        self._command = self._twist(np.asarray(action, np.float64))
        try:
            self._state, _, success = next(self._episode)
        except StopIteration:  # the time is over
            return self._observation(), 0.0, False, True, {"is_success": False}
        self._successes = self._successes + 1 if success else 0
        done = self._successes >= SUCCESS_PERIODS
        return self._observation(), float(success), done, False, {"is_success": done}

    def render(self) -> np.ndarray:
        return self._cameras["static"].render(self._state)

    def close(self) -> None:
        for camera in self._cameras.values():
            camera.close()

    def _vector(self) -> np.ndarray:
        view = StateView(self._state)
        return self._rig.state_vector(view.measured[:3], view.measured[3:], view.closure_target)

    def _twist(self, action: np.ndarray) -> Command:
        arm = self._vector()[:6].astype(np.float64)
        return Command(*self._rig.twist(action[:6], arm), 0.0 if action[6] > 0 else 1.0)

    def _observation(self) -> dict:
        pixels = {role: camera.render(self._state) for role, camera in self._cameras.items()}
        return {"pixels": pixels, "agent_pos": self._vector()}


# Without wrappers: LeRobot looks for the task at the environment itself.
gym.register("gr1/Twin-v0", TwinEnvironment, order_enforce=False, disable_env_checker=True)
