"""Videos beside demonstrations in one run: each step also learns to predict the frames of some clips.

The words of the clips' narrations and the demonstrations' instructions have one table, so that a noun that
only videos name is trained where the policy reads it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from gr1_core.data.dataset import Dataset
from gr1_core.data.windows import Windows
from gr1_core.model.gr1 import GR1
from gr1_core.train.batch_schedule import BatchSchedule
from gr1_core.train.device_batches import DeviceBatches
from gr1_core.train.input_pipeline import InputPipeline, InputSpec
from gr1_core.train.losses import Inputs
from gr1_core.train.recipe import Recipe, RecipeError


def video_recipe(recipe: Recipe) -> Recipe:
    """The part of a run that learns from its videos, as a recipe of stage pretrain."""
    loss = dataclasses.replace(recipe.loss, arm=0.0, gripper=0.0, static=1.0, wrist=0.0, videos=0.0)
    return dataclasses.replace(
        recipe, stage="pretrain", data=recipe.videos, batch=recipe.videos_batch, hz=recipe.videos_hz,
        video_share=1.0, loss=loss, starts="every", videos=None,
    )  # fmt: skip


def open_videos(recipe: Recipe) -> Windows:
    """The windows of `recipe.videos`. Raises RecipeError or DatasetError."""
    dataset, config = Dataset(recipe.videos), recipe.config
    if dataset.tasks and "static" not in dataset.roles:
        raise RecipeError(f"videos={recipe.videos} has no static camera")
    return Windows(dataset, None, config.window, config.future_steps, recipe.videos_hz)


class JointVideos:
    """The videos of a fine-tuning run, on one process."""

    def __init__(
        self,
        recipe: Recipe,
        windows: Windows,
        model: GR1,
        device: torch.device,
        bf16: bool,
        rank: int,
        world: int,
        micro_batch: int | None,
    ):
        own = video_recipe(recipe)
        self.windows = windows
        self._schedule = BatchSchedule(own, torch.arange(len(windows)).numpy(), rank, world, micro_batch)
        self._pipeline = InputPipeline(model, windows.dataset, InputSpec.of(own), device, bf16)
        self._pipeline.prepare()

    @property
    def number(self) -> int:
        """Micro-batches of a step."""
        return len(self._schedule.video_windows)

    def batches(self, step: int) -> AbstractContextManager[DeviceBatches]:
        """Batches on the device from a step on; for `with`."""
        return self._pipeline.batches(self.windows, self._schedule.micro_batches(step))

    def micro_batches(self, batches: DeviceBatches, step: int) -> Iterator[Inputs]:
        """The inputs of one step."""
        changes = self._schedule.augmentations(step, self._pipeline.spec.augment)
        for change, windows in zip(changes, self._schedule.video_windows):
            yield self._pipeline.inputs(next(batches), change, windows)

    def count(self, step: int) -> int:
        """Supervised frames of the global batch."""
        return self.windows.counts(self._schedule.batch(step))[1]
