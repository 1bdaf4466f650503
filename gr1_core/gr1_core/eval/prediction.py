"""Error of predicted frames while a policy acts in the twin, beside that of copying the current frame."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from gr1_core.model import patches
from gr1_core.policy import Action, Future, Observation, Policy
from gr1_core.sim.suites import SUITES, Trial
from gr1_core.sim.tasks import TASKS

COMPARE_EVERY = 5  # steps: neighbouring frames look alike
MOVING_THRESHOLD = 12.0  # grey levels, mean of RGB, by which a pixel must change to count as moving
MOVING_MARGIN = (
    5  # px around a moving pixel that count as moving too, so that the region is not only where copying fails
)
_FIRST_EXAMPLE_STEP = 15  # by then the arm moves


@dataclass(frozen=True)
class Example:
    """frames: role -> (current, predicted and real future frame), u8[S, S, 3] each."""

    trial: Trial
    step: int
    frames: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Pending:
    due: int
    now: dict[str, Tensor]
    future: Future


class PredictionErrors:
    """Compares predicted frames with real ones: give every action to `on_action`, then read `figures` and
    `examples`.
    """

    def __init__(self, policy: Policy):
        self._rig, self._config = policy.rig, policy.config
        self.future_steps = policy.config.future_steps
        self._pending: dict[tuple, _Pending] = {}
        self._roles = tuple(policy.rig.cameras)
        self._sums: dict[str, dict[str, float]] = {role: defaultdict(float) for role in self._roles}
        self._examples: dict[tuple[str, str], Example] = {}
        self._taken: set[tuple[str, str]] = set()

    def on_action(self, trial: Trial, step: int, observation: Observation, action: Action) -> None:
        """Takes one action of a trial. step: counted from 0."""
        if trial.event:  # no model can predict it
            return
        key = _key(trial)
        if step == 0:  # also of the next instruction of a chain
            self._pending.pop(key, None)
        pending = self._pending.get(key)
        if pending and pending.due == step:
            self._compare(trial, self._pending.pop(key), self._frames(observation))
        if step % COMPARE_EVERY == 0 and key not in self._pending:
            self._pending[key] = _Pending(
                step + self.future_steps, self._frames(observation), action.future()
            )

    def end_trial(self, trial: Trial) -> None:
        """Drops the predictions of frames after the end of the trial."""
        self._pending.pop(_key(trial), None)

    def take_notes(self, trial: Trial) -> tuple[dict, dict]:
        """The sums, and the examples of new tasks, since the last call; the trial has ended."""
        self.end_trial(trial)
        sums, self._sums = self._sums, {role: defaultdict(float) for role in self._roles}
        new = {key: one for key, one in self._examples.items() if key not in self._taken}
        self._taken |= new.keys()
        return sums, new

    def add_notes(self, notes: tuple[dict, dict]) -> None:
        """Adds what `take_notes` of another one gave."""
        sums, examples = notes
        for role in self._roles:
            for name, value in sums[role].items():
                self._sums[role][name] += value
        self._examples = examples | self._examples

    def figures(self) -> dict:
        """Per camera the mean error of model and copy, in grey levels (0..255).

        `moving`: pixels where the real future frame differs from the current one, and their neighbours;
        `all`: all pixels. share: of moving pixels.
        """
        return {role: _ratios(sums) for role, sums in self._sums.items() if sums}

    def examples(self) -> list[Example]:
        """One per task of each suite, in their order."""
        suites, tasks = list(SUITES), list(TASKS)
        return sorted(
            self._examples.values(),
            key=lambda one: (suites.index(one.trial.suite), tasks.index(one.trial.task)),
        )

    def _frames(self, observation: Observation) -> dict[str, Tensor]:
        """Each camera's frame as the model sees it, [1, 3, S, S]."""
        frames = {}
        for role in self._roles:
            view = self._rig.cameras[role].view(getattr(observation, role))
            frames[role] = patches.preprocess(
                torch.from_numpy(np.ascontiguousarray(view))[None], self._config.image_size
            )
        return frames

    def _compare(self, trial: Trial, pending: _Pending, later: dict[str, Tensor]) -> None:
        shown = {}
        for role in self._roles:
            now, real = (patches.to_pixels(frames[role])[0].numpy() for frames in (pending.now, later))
            predicted = getattr(pending.future, role)
            changed = np.abs(real.astype(np.float32) - now).mean(-1) > MOVING_THRESHOLD
            moving = cv2.dilate(
                changed.astype(np.uint8), np.ones((2 * MOVING_MARGIN + 1, 2 * MOVING_MARGIN + 1), np.uint8)
            ).astype(bool)
            sums = self._sums[role]
            for name, pixels in (("model", predicted), ("copy", now)):
                off = np.abs(real.astype(np.float32) - pixels).mean(-1)
                sums[f"{name}_all"] += float(off.sum())
                sums[f"{name}_moving"] += float(off[moving].sum())
            sums["frames"] += 1
            sums["all"] += moving.size
            sums["moving"] += int(moving.sum())
            shown[role] = (now, predicted, real)
        key, step = (trial.suite, trial.task), pending.due - self.future_steps
        if step >= _FIRST_EXAMPLE_STEP and key not in self._examples:
            self._examples[key] = Example(trial, step, shown)


def _key(trial: Trial) -> tuple:
    """The same for all instructions of a chain."""
    return trial.suite, trial.scene, trial.seed


def _ratios(sums: dict[str, float]) -> dict:
    row = {"frames": int(sums["frames"]), "share": sums["moving"] / sums["all"]}
    for region in ("moving", "all"):
        row[region] = {
            name: {"grey_levels": sums[f"{name}_{region}"] / max(sums[region], 1)}
            for name in ("model", "copy")
        }
    return row
