"""The expert as an agent: it begins a task, and from then on answers each state with a command."""

from __future__ import annotations

import numpy as np

from gr1_core.calvin.environment import State
from gr1_core.calvin.expert.layout import LAYOUTS
from gr1_core.calvin.expert.motion import Command, command
from gr1_core.calvin.expert.tasks import Situation, goal_of


class Expert:
    """Reactive: the command follows from the state now, the state at the task's start, and the simulator's
    target pose.
    """

    def __init__(self, scene: str = "D"):
        self._layout = LAYOUTS[scene]
        self._situation: Situation | None = None
        self._task = ""

    def begin(self, task: str, state: State) -> None:
        self._task, self._situation = task, Situation(state, state, self._layout)

    def act(self, state: State, target: np.ndarray) -> Command:
        """target: f64[6], `Simulator.target()`."""
        self._situation.state = state
        self.goal = goal_of(self._situation, self._task)
        return command(self.goal, state, target)

    def distance(self, state: State) -> float:
        """Metres from the hand to its present goal."""
        return float(np.linalg.norm(self.goal.position - state.tcp))
