"""The training windows and the held-out windows of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gr1_core.data.cache import fingerprint
from gr1_core.data.dataset import Dataset
from gr1_core.data.windows import Windows, split_episodes
from gr1_core.train.joint_videos import open_videos
from gr1_core.train.recipe import Recipe, RecipeError


@dataclass(frozen=True)
class TrainingData:
    """Training windows, and held-out windows: from other episodes of the same dataset, or from another
    dataset.

    starts: numbers of the training windows that are used, i64[N]. mean_action: f[7] of the training frames;
    None for videos. videos: the windows of the recipe's `videos`.
    """

    train: Windows
    held: Windows | None
    starts: np.ndarray
    mean_action: np.ndarray | None
    videos: Windows | None = None

    def to_dict(self) -> dict:
        """For training.json: the held-out episodes, and the number of the others."""
        described = {"train": _describe(self.train) | {"episodes": len(self.train.episodes)}}
        described["held_out"] = (
            None if self.held is None else _describe(self.held) | {"episodes": self.held.episodes.tolist()}
        )
        if self.videos is not None:
            described["videos"] = _describe(self.videos)
        return described | {"mean_action": None if self.mean_action is None else self.mean_action.tolist()}


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
        validation = _windows(recipe, other, None)
    else:
        validation = _windows(recipe, dataset, held) if len(held) else None
    windows = _windows(recipe, dataset, training)
    if recipe.starts == "first":
        lengths = np.diff(dataset.episodes[windows.episodes].tolist(), axis=1)[:, 0]
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    else:
        starts = np.arange(len(windows))
    mean = None
    if recipe.stage == "finetune":
        bounds = dataset.episodes[training]
        mean = np.concatenate([dataset.action[start:end] for start, end in bounds.tolist()]).mean(0)
    videos = open_videos(recipe) if recipe.videos else None
    return TrainingData(windows, validation, starts, mean, videos)


def _windows(recipe: Recipe, dataset: Dataset, episodes: np.ndarray | None) -> Windows:
    config = recipe.config
    return Windows(dataset, episodes, config.window, config.future_steps, recipe.hz, config.chunk)


def _describe(windows: Windows) -> dict:
    return {
        "root": str(windows.dataset.root),
        "fingerprint": fingerprint(windows.dataset.root),
        "windows": len(windows),
    }
