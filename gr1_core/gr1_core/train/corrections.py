"""Learning from take-overs: which frames of a policy's episodes are learned from, and with which weight.

After Sirius (Liu et al. 2023): corrected frames weigh more, the frames before a take-over are left out, and
the policy's own frames count where its episode succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gr1_core.data.command_timeline import true_spans
from gr1_core.data.dataset import Dataset
from gr1_core.data.drivers import OPERATOR, POLICY
from gr1_core.plural import plural
from gr1_core.train.recipe import Corrections, RecipeError

KINDS = ("demonstration", "correction", "policy", "before a take-over", "failed")
"""Kinds of frames. failed: of a demonstrator or policy in an episode that did not succeed."""
_FAILED = ("failure", "discarded", "unfinished")


@dataclass(frozen=True)
class FrameWeights:
    """weight: f32[length], of each frame of a dataset in the loss. kind: u8[length], index in KINDS."""

    weight: np.ndarray
    kind: np.ndarray


def frame_weights(dataset: Dataset, corrections: Corrections) -> FrameWeights:
    """The weight of each frame. Raises RecipeError for a dataset that does not say who drove."""
    if dataset.driver is None:
        raise RecipeError(
            f"corrections: {dataset.root} has no column 'driver', which says who drove each frame: convert "
            "its bags again with `gr1 convert bags`, or train on it without corrections=..."
        )
    kind = np.zeros(dataset.length, np.uint8)
    before = round(corrections.before_s * dataset.fps)
    for (start, end), outcome in zip(dataset.episodes.tolist(), dataset.outcomes):
        driver, of = dataset.driver[start:end], kind[start:end]
        of[driver == POLICY] = KINDS.index("policy")
        if outcome in _FAILED:
            of[:] = KINDS.index("failed")
        for first, _ in true_spans(driver == OPERATOR):
            near = slice(max(0, first - before), first)
            of[near][driver[near] == POLICY] = KINDS.index("before a take-over")
        of[driver == OPERATOR] = KINDS.index("correction")
    weights = np.array([1.0, corrections.weight, corrections.policy_weight, 0.0, 0.0], np.float32)
    return FrameWeights(weights[kind], kind)


def count_windows(found: FrameWeights, windows, starts: np.ndarray) -> dict[str, dict[str, float]]:
    """Kind -> frames, their weight, windows that learn from at least one of them, and their share of the loss
    in an epoch.

    windows: `data.windows.Windows` with these weights; starts: the numbers of those that are used.
    """
    rows = np.concatenate([np.arange(start, end) for start, end in windows.bounds.tolist()])
    touched, loss = np.zeros(len(KINDS)), np.zeros(len(KINDS))
    for part in np.array_split(starts, max(1, len(starts) // 10_000)):
        frames, valid, _ = windows.masks(part)
        steps = frames[:, : windows.window]
        for number in range(len(KINDS)):
            mine = valid & (found.kind[steps] == number)
            touched[number] += mine.any(1).sum()
            loss[number] += float(found.weight[steps][mine].sum())
    return {
        name: {
            "frames": int((found.kind[rows] == number).sum()),
            "weight": float(found.weight[rows][found.kind[rows] == number].max(initial=0.0)),
            "windows": int(touched[number]),
            "share": float(loss[number] / max(loss.sum(), 1e-12)),
        }
        for number, name in enumerate(KINDS)
    }


def report_lines(counts: dict[str, dict[str, float]]) -> list[str]:
    """The counts as text, one line per kind that the data holds."""
    return [
        f"  {name}: {plural(row['frames'], 'frame')}, "
        + (
            f"weight {row['weight']:g}, {plural(row['windows'], 'window')}, {row['share']:.0%} of the loss"
            if row["weight"]
            else "left out"
        )
        for name, row in counts.items()
        if row["frames"]
    ]
