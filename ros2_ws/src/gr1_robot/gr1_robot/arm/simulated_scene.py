"""The simulated arm's scene in the motion process: what is published of it, and new episodes. ROS-free."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gr1_common.conventions import TICK
from gr1_common.loop import Loop
from gr1_robot.arm.controller import ArmController

_SUCCESS_PERIOD_TICKS = 10


class SimulationSample(NamedTuple):
    """state f64[n] (Twin.state()) and the task's success; None where nothing is due."""

    state: np.ndarray | None
    success: bool | None


class SimulatedScene:
    """controller: its backend is the simulated arm, connected. state_hz: rate of the state, Hz. seed: of the
    first episode.
    """

    def __init__(self, controller: ArmController, loop: Loop, state_hz: float, seed: int):
        self._controller, self._loop, self._twin = controller, loop, controller.backend.twin
        self._state_period_ticks = max(round(1.0 / (state_hz * TICK)), 1)
        self._ticks = self._episode = 0
        self._seed = seed

    def sample(self) -> SimulationSample:
        """What is to be published of this tick; called once a tick in the arm's loop, after its step."""
        self._ticks += 1
        with self._controller.lock:
            state = self._twin.state() if self._ticks % self._state_period_ticks == 0 else None
            success = self._twin.success() if self._ticks % _SUCCESS_PERIOD_TICKS == 0 else None
        return SimulationSample(state, None if success is None else bool(success))

    def reset(self, task: str, seed: int) -> dict:
        """A new episode; returns its description."""
        with self._controller.lock:
            self._controller.backend.reset(task, seed)
            self._controller.restart()
            self._episode += 1
            self._seed = seed
            self._loop.restart_timing()
            return self.describe()

    def describe(self) -> dict:
        """task, seed, instruction, and episode: how many there were before."""
        twin = self._twin
        return {
            "task": twin.task.name,
            "seed": self._seed,
            "instruction": twin.instruction,
            "episode": self._episode,
        }
