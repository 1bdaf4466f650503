"""Held-out losses and action errors, beside those of a zero action, of the mean action, and of
copied frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from gr1_core.data.windows import Windows
from gr1_core.rig import ROLES, Rig
from gr1_core.train import losses
from gr1_core.train.input_pipeline import InputPipeline
from gr1_core.train.losses import Objective

_BETTER_THAN_COPY = 0.99
STANDING_STILL, MEAN_ACTION, COPY = "standing_still", "mean_action", "copy"


def evenly_spaced(windows: Windows, most: int) -> np.ndarray:
    """Numbers of at most `most` windows with steps that count, evenly spaced."""
    numbers = windows.usable()
    chosen = np.linspace(0, len(numbers) - 1, min(most, len(numbers))).round().astype(np.int64)
    return np.unique(numbers[chosen])


def rank_batches(indices: np.ndarray, size: int, rank: int = 0, world: int = 1) -> list[np.ndarray]:
    """This rank's share of the window numbers, cut into batches."""
    share = indices[rank::world]
    return [share[start : start + size] for start in range(0, len(share), size)]


def add_counters(counters: Iterable[Counter]) -> Counter:
    """The sum of several processes' counters. `Counter + Counter` would drop NaN and negative values."""
    total = Counter()
    for counter in counters:
        total.update(counter)
    return total


@torch.no_grad()
def evaluate_windows(
    objective: Objective,
    pipeline: InputPipeline,
    windows: Windows,
    indices: list[np.ndarray],
    mean_action: np.ndarray | None = None,
    add_up: Callable[[Counter], Counter] = lambda sums: sums,
) -> dict:
    """The figures of log.jsonl.

    indices: batches of window numbers. mean_action f[7]: of the training data. add_up: sums over all
    processes.

    Losses count every supervised step of the windows. Actions are compared where the policy acts: at a
    window's last step, with a full history, and at the first steps of an episode with the history there is.
    Errors are the lengths of the differences of translations (mm) and rotations (degrees).
    """
    was_training = objective.model.training
    objective.model.eval()
    sums = Counter()
    for numbers, batch, action, summed in _predictions(objective, pipeline, windows, indices):
        sums.update(summed)
        if action is None:
            continue
        acted = acting_steps(windows, numbers) & batch.valid
        truth, own, state = batch.action[acted], action[acted], batch.state[acted]
        sums["steps"] += len(truth)
        _add_errors(sums, "", own, truth, windows.dataset.rig)
        still = np.concatenate([np.zeros_like(state[:, :6]), state[:, 6:]], 1)
        _add_errors(sums, STANDING_STILL, still, truth, windows.dataset.rig)
        if mean_action is not None:
            mean = np.broadcast_to(mean_action, truth.shape)
            _add_errors(sums, MEAN_ACTION, mean, truth, windows.dataset.rig)
    objective.model.train(was_training)
    return _figures(add_up(sums), mean_action is not None)


def unlearned_frames(figures: dict) -> list[str]:
    """What to tell the user of predicted frames that are no better than a copy of the current ones."""
    copies = figures.get("baselines", {}).get(COPY, {})
    return [
        f"WARNING: the predicted frames of the {role} camera are no better than a copy of the current frame "
        f"(held-out error {figures[role]:.5g}, copy {copy:.5g}): the model has learned nothing from the "
        "videos. Try frame_error=squared, a larger model.future_steps, or more steps"
        for role, copy in copies.items()
        if figures[role] > _BETTER_THAN_COPY * copy
    ]


def acting_steps(windows: Windows, numbers: np.ndarray) -> np.ndarray:
    """The steps of the windows that the policy would act from: bool[B, W]."""
    episode, start = windows.locate(numbers)
    first = start == windows.dataset.episodes["start"][windows.episodes[episode]]
    mask = np.zeros((len(numbers), windows.window), bool)
    mask[:, -1] = True
    mask[first] = True
    return mask


def _predictions(
    objective: Objective, pipeline: InputPipeline, windows: Windows, indices: list[np.ndarray]
) -> Iterator[tuple]:
    """(window numbers, their Batch, predicted actions f[B, W, 7] or None, summed losses and counts) of each
    batch.
    """
    with pipeline.batches(windows, iter(indices)) as batches:
        for numbers, batch in zip(indices, batches):
            inputs = pipeline.inputs(batch)
            prediction = objective.predict(inputs)
            targets = objective.frame_targets(inputs, objective.targets)
            summed = objective.sum_losses(prediction, inputs, targets)
            summed = {name: float(value) for name, value in summed.items()}
            copies = objective.copy_losses(pipeline.present(batch), inputs, targets) if targets else {}
            summed |= {(COPY, name): float(value) for name, value in copies.items()}
            summed |= {
                "valid": int(batch.host.valid.sum()),
                "future": int(batch.host.future.sum()),
                "windows": len(numbers),
            }
            action = None
            if prediction.arm is not None:
                gripper = prediction.gripper_logit.sign().unsqueeze(-1)
                action = torch.cat([prediction.arm, gripper], -1).cpu().numpy()
            yield numbers, batch.host, action, summed


def _add_errors(sums: Counter, label: str, actions: np.ndarray, truth: np.ndarray, rig: Rig) -> None:
    difference = actions.astype(np.float64) - truth
    sums[label, "mm"] += float(
        np.linalg.norm(difference[:, :3], axis=1).sum() * rig.action.translation_scale * 1e3
    )
    sums[label, "deg"] += float(
        np.rad2deg(np.linalg.norm(difference[:, 3:6], axis=1).sum() * rig.action.rotation_scale)
    )
    sums[label, "gripper"] += int(((actions[:, 6] > 0) == (truth[:, 6] > 0)).sum())


def _figures(sums: Counter, with_mean: bool) -> dict:
    figures = {}
    for name in losses.NAMES:
        if name in sums:
            figures[name] = sums[name] / max(1, sums["valid" if name in ("arm", "gripper") else "future"])
    if sums["steps"]:
        figures |= _errors(sums, "")
        baselines = (STANDING_STILL, MEAN_ACTION) if with_mean else (STANDING_STILL,)
        figures["baselines"] = {label: _errors(sums, label) for label in baselines}
    copies = {role: sums[COPY, role] / max(1, sums["future"]) for role in ROLES if (COPY, role) in sums}
    if copies:
        figures["baselines"] = figures.get("baselines", {}) | {COPY: copies}
    return figures | {"windows": int(sums["windows"])}


def _errors(sums: Counter, label: str) -> dict[str, float]:
    named = {"action_mm": "mm", "action_deg": "deg", "gripper_accuracy": "gripper"}
    return {name: sums[label, key] / sums["steps"] for name, key in named.items()}
