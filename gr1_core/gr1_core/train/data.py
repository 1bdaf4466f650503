"""The training windows and the held-out windows of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gr1_core.data.cache import fingerprint
from gr1_core.data.dataset import Dataset
from gr1_core.data.windows import Windows, split_episodes
from gr1_core.train import corrections
from gr1_core.train.joint_videos import open_videos
from gr1_core.train.recipe import Recipe, RecipeError


@dataclass(frozen=True)
class TrainingData:
    """Training windows, and held-out windows: from other episodes of the same dataset, or from another
    dataset.

    starts: numbers of the training windows that are used, i64[N]. mean_action, std_action: f[7] of the
    training frames that are learned from; None for videos. videos: the windows of the recipe's `videos`.
    corrected: of `corrections.count_windows`; None without corrections.
    """

    train: Windows
    held: Windows | None
    starts: np.ndarray
    mean_action: np.ndarray | None
    videos: Windows | None = None
    std_action: np.ndarray | None = None
    corrected: dict[str, dict[str, float]] | None = None

    def to_dict(self) -> dict:
        """For training.json: the held-out episodes, and the number of the others."""
        described = {"train": _describe(self.train) | {"episodes": len(self.train.episodes)}}
        described["held_out"] = (
            None if self.held is None else _describe(self.held) | {"episodes": self.held.episodes.tolist()}
        )
        if self.videos is not None:
            described["videos"] = _describe(self.videos)
        if self.corrected is not None:
            described["corrections"] = self.corrected
        figures = {"mean_action": self.mean_action, "std_action": self.std_action}
        return described | {
            name: None if value is None else value.tolist() for name, value in figures.items()
        }


def open_training_data(recipe: Recipe) -> TrainingData:
    """Raises RecipeError or DatasetError."""
    dataset = Dataset(recipe.data)
    if recipe.stage == "finetune" and dataset.kind != "demonstrations":
        raise RecipeError(
            f"{recipe.data} holds videos without states and actions: `gr1 pretrain` learns from them, "
            "fine-tuning cannot"
        )
    if missing := set(recipe.roles) - set(dataset.roles):
        raise RecipeError(
            f"{recipe.data} has no {missing.pop()} camera: set cameras=static to train without it"
        )
    if recipe.stage == "finetune" and recipe.hz not in (None, dataset.fps):
        raise RecipeError(
            f"hz={recipe.hz:g}: a policy acts at the dataset's rate of {dataset.fps:g} Hz, set hz=null"
        )
    training, held = split_episodes(dataset, 0.0 if recipe.validation else recipe.held_out, recipe.seed)
    if recipe.share is not None:
        # With the same seed a smaller share is a subset of a larger one, and the held-out episodes are the
        # same.
        drawn = np.random.default_rng([recipe.seed, 1]).permutation(training)
        training = np.sort(drawn[: max(1, round(recipe.share * len(drawn)))])
    if recipe.validation:
        other = Dataset(recipe.validation)
        if recipe.stage == "finetune" and other.rig is not None:
            rigs = (one.rig.with_cameras(recipe.roles) for one in (dataset, other))
            next(rigs).require_same(next(rigs), recipe.validation)
        validation = _windows(recipe, other, None, _held_weights(recipe, other))
    else:
        chosen = _held_weights(recipe, dataset)
        validation = _windows(recipe, dataset, held, chosen) if len(held) else None
    if validation is not None and not len(validation.usable()):
        validation = None
    found = corrections.frame_weights(dataset, recipe.corrections) if recipe.corrections else None
    windows = _windows(recipe, dataset, training, found and found.weight)
    if recipe.starts == "first":
        lengths = np.diff(dataset.episodes[windows.episodes].tolist(), axis=1)[:, 0]
        starts = np.intersect1d(np.concatenate([[0], np.cumsum(lengths)[:-1]]), windows.usable())
    else:
        starts = windows.usable()
    if not len(starts):
        raise RecipeError(
            f"corrections: {recipe.data} has nothing to learn from: no demonstration, no corrected frame "
            "and no episode of the policy that succeeded"
        )
    mean = std = None
    if recipe.stage == "finetune":
        rows = np.concatenate([np.arange(start, end) for start, end in windows.bounds.tolist()])
        if found:
            rows = rows[found.weight[rows] > 0]
        mean, std = dataset.action[rows].mean(0), dataset.action[rows].std(0)
    videos = open_videos(recipe) if recipe.videos else None
    counts = corrections.count_windows(found, windows, starts) if found else None
    return TrainingData(windows, validation, starts, mean, videos, std, counts)


def _held_weights(recipe: Recipe, dataset: Dataset) -> np.ndarray | None:
    """Held-out frames count 1 if frames of their kind are learned from, else 0."""
    if not recipe.corrections or dataset.driver is None:
        return None
    return (corrections.frame_weights(dataset, recipe.corrections).weight > 0).astype(np.float32)


def _windows(
    recipe: Recipe, dataset: Dataset, episodes: np.ndarray | None, weights: np.ndarray | None = None
) -> Windows:
    config = recipe.config
    sizes = config.window, config.future_steps, recipe.hz, config.chunk
    return Windows(dataset, episodes, *sizes, weights)


def _describe(windows: Windows) -> dict:
    return {
        "root": str(windows.dataset.root),
        "fingerprint": fingerprint(windows.dataset.root),
        "windows": len(windows),
    }
