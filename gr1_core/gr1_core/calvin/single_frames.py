"""Single-frame examples: moments of the expert's chains, each with the action for one instruction.

In a demonstration neighbouring frames show nearly the same, and rendering takes 97 % of the time. Here the
chains run without cameras and only some moments are rendered: the same time shows several times as many
scenes. While a task has hardly begun, the moment is also labelled for other tasks that are possible then.
Only the instruction tells them apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gr1_core.calvin.environment import Simulator
from gr1_core.calvin.expert import Expert
from gr1_core.calvin.expert.motion import Command
from gr1_core.calvin.recording import Span, frame_of, frame_path, write_frame
from gr1_core.calvin.worlds import ChainSpec

STRIDE = 1000
"""Frame ids from one chain's first to the next one's."""
SHARE, SHARE_NEAR, NEAR = 1 / 10, 1 / 3, 0.04
"""Of the steps that are rendered: far from the hand's goal, and within NEAR metres of it, where the fingers
close or open. The first step of a task always is.
"""
BEGINNING = 15
"""Steps of a task in which the moment is labelled for other tasks too."""
OTHERS = 3


class MomentWriter:
    """Writes the single frames of one chain and their annotations."""

    def __init__(
        self,
        simulator: Simulator,
        spec: ChainSpec,
        texts: dict[str, list[str]],
        wanted: tuple[str, ...],
        scene: str,
        rng: np.random.Generator,
        folder: Path,
        first: int,
        depth: bool,
    ):
        """texts: {task: instructions}. wanted: the tasks that are labelled. rng: draws moments and wordings.

        first: the id of the first frame.
        """
        self._simulator, self._spec, self._texts = simulator, spec, texts
        self._wanted, self._scene = frozenset(wanted), scene
        self._rng, self._folder, self._first, self._depth = rng, folder, first, depth
        self.spans: list[Span] = []

    def see(self, index: int, step: int, label: Command, distance: float) -> None:
        """The state before a step of the chain's task `index`, the expert's command in it, and the hand's
        distance from its goal in metres.
        """
        if step and self._rng.random() > (SHARE_NEAR if distance < NEAR else SHARE):
            return
        task = self._spec.tasks[index]
        self._simulator.look()
        if task in self._wanted:
            self._write(task, label)
        if step >= BEGINNING:
            return
        others = sorted(self._wanted & set(self._spec.possible[index]) - {task})
        for task in self._rng.permutation(others)[:OTHERS].tolist():
            expert = Expert(self._scene)
            expert.begin(task, self._simulator.state)
            self._write(task, expert.act(self._simulator.state, self._simulator.target()))

    def _write(self, task: str, label: Command) -> None:
        number = self._first + len(self.spans)
        frame = frame_of(self._simulator, self._simulator.state, label, self._depth)
        write_frame(self._folder, number, frame)
        text = self._texts[task][self._rng.integers(len(self._texts[task]))]
        self.spans.append(Span(number, number, task, text))

    def keep(self, count: int) -> None:
        """Takes all but the first `count` examples away again: a task failed."""
        for span in self.spans[count:]:
            frame_path(self._folder, span.first).unlink()
        del self.spans[count:]
