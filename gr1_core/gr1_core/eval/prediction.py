"""Predicted frames against the real ones, beside the guess that nothing changes: while a policy acts in the twin."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from gr1_core.model import patches
from gr1_core.policy import Action, Future, Observation, Policy
from gr1_core.rig import ROLES
from gr1_core.sim.suites import COLUMNS, Trial
from gr1_core.sim.tasks import TASKS

EVERY = 5  # steps: neighbouring ones look alike
MOVED = 12.0  # grey levels, mean of RGB, by which a pixel must change to count as moving
NEAR = 5  # px: what lies so near to a moving pixel counts as well, so that the region is not just where copying fails
_SHOWN_FROM = 15  # steps: the first example of a task, when the arm is under way


@dataclass(frozen=True)
class Example:
    """role -> (the frame now, the predicted one, the one that came), u8[S, S, 3]."""

    trial: Trial
    step: int
    frames: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Waiting:
    due: int
    now: dict[str, Tensor]
    future: Future


class Predictions:
    """`watch` every action; `figures` and `examples` then say how good the frames are that the policy expects."""

    def __init__(self, policy: Policy):
        self._rig, self._config = policy.rig, policy.config
        self.ahead = policy.config.future_steps
        self._waiting: dict[Trial, _Waiting] = {}
        self._sums: dict[str, dict[str, float]] = {role: defaultdict(float) for role in ROLES}
        self._examples: dict[tuple[str, str], Example] = {}

    def watch(self, trial: Trial, step: int, observation: Observation, action: Action) -> None:
        """One action of a trial, its step counted from 0."""
        waiting = self._waiting.get(trial)
        if waiting and waiting.due == step:
            self._compare(trial, self._waiting.pop(trial), self._frames(observation))
        if step % EVERY == 0 and trial not in self._waiting:
            self._waiting[trial] = _Waiting(step + self.ahead, self._frames(observation), action.future())

    def end(self, trial: Trial) -> None:
        """The trial is over; what was predicted beyond its end is not judged."""
        self._waiting.pop(trial, None)

    def figures(self) -> dict:
        """Per camera the mean error of model and copy, in grey levels (0..255) of pixels.

        `moving`: where the real frame differs from the present one, or near to that; `all`: everywhere. share: of the moving pixels.
        """
        return {role: _ratios(sums) for role, sums in self._sums.items() if sums}

    def examples(self) -> list[Example]:
        """One of each column's tasks, in their order."""
        columns, tasks = list(COLUMNS), list(TASKS)
        return sorted(
            self._examples.values(),
            key=lambda one: (columns.index(one.trial.column), tasks.index(one.trial.task)),
        )

    def _frames(self, observation: Observation) -> dict[str, Tensor]:
        """Each camera's frame as the model sees it, [1, 3, S, S]."""
        frames = {}
        for role in ROLES:
            view = self._rig.cameras[role].view(getattr(observation, role))
            frames[role] = patches.preprocess(
                torch.from_numpy(np.ascontiguousarray(view))[None], self._config.image_size
            )
        return frames

    def _compare(self, trial: Trial, waiting: _Waiting, later: dict[str, Tensor]) -> None:
        shown = {}
        for role in ROLES:
            now, real = (patches.to_pixels(frames[role])[0].numpy() for frames in (waiting.now, later))
            predicted = getattr(waiting.future, role)
            changed = np.abs(real.astype(np.float32) - now).mean(-1) > MOVED
            moving = cv2.dilate(
                changed.astype(np.uint8), np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
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
        key, step = (trial.column, trial.task), waiting.due - self.ahead
        if step >= _SHOWN_FROM and key not in self._examples:
            self._examples[key] = Example(trial, step, shown)


def _ratios(sums: dict[str, float]) -> dict:
    row = {"frames": int(sums["frames"]), "share": sums["moving"] / sums["all"]}
    for region in ("moving", "all"):
        row[region] = {
            name: {"grey_levels": sums[f"{name}_{region}"] / max(sums[region], 1)}
            for name in ("model", "copy")
        }
    return row
