"""The windows of each step, and how this process's share of them is cut into micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gr1_core.data.loader import Sampler
from gr1_core.train.augmentation import Augmentation, AugmentationLimits
from gr1_core.train.recipe import Recipe


class BatchSchedule:
    """Rank r of `world` computes the windows r, r + world, ... of each global batch, `micro_batch` at a time.

    starts: the window numbers of an epoch. micro_batch: None: the whole share at once. has_future: window
    numbers -> bool[B]: of a batch that is supervised by future frames in part, the windows that have some
    come first; single frames have none. Raises ValueError for a batch that does not divide, or if a rank
    would have no window with future frames.
    """

    def __init__(
        self,
        recipe: Recipe,
        starts: np.ndarray,
        rank: int,
        world: int,
        micro_batch: int | None = None,
        has_future: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        if recipe.batch % world:
            raise ValueError(
                f"a batch of {recipe.batch} does not divide into {world} equal parts: choose a multiple of "
                f"{world}"
            )
        partial = recipe.video_share < 1
        if partial and recipe.video_windows < world:
            raise ValueError(
                f"video_share={recipe.video_share:g} of a batch of {recipe.batch} gives "
                f"{recipe.video_windows} windows with "
                f"future frames for {world} processes, and each needs at least one: raise batch or "
                "video_share, "
                "or use fewer processes"
            )
        # Of the whole batch: its counts divide the losses, and random changes are drawn for all of it.
        self._sampler = Sampler(len(starts), recipe.batch, recipe.seed)
        self._starts, self._rank, self._world, self._seed = starts, rank, world, recipe.seed
        self._has_future = has_future if partial else None
        share = recipe.batch // world
        size = self.micro_batch = micro_batch or share
        self._cuts = [slice(at, min(at + size, share)) for at in range(0, share, size)]
        # Windows with future frames come first in a batch. Data-parallel training exchanges gradients with
        # the last micro-batch, which must reach all weights: so it is the first one of the batch.
        if partial:
            self._cuts.reverse()
        with_video = len(range(rank, recipe.video_windows, world)) if partial else share
        self.video_windows = [min(max(0, with_video - cut.start), cut.stop - cut.start) for cut in self._cuts]
        """Of each micro-batch: how many windows, the first ones, are supervised by future frames."""

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return self._sampler.per_epoch

    def batch(self, step: int) -> np.ndarray:
        """The global batch of a step, window numbers i64[batch]."""
        epoch, position = divmod(step, self.per_epoch)
        return self._ordered(next(self._sampler.epoch(epoch, position)))

    def _ordered(self, numbers: np.ndarray) -> np.ndarray:
        numbers = self._starts[numbers]
        if self._has_future is None:
            return numbers
        return numbers[np.argsort(~self._has_future(numbers), kind="stable")]

    def micro_batches(self, step: int) -> Iterator[np.ndarray]:
        """This process's micro-batches from a step on, without end."""
        for numbers in self._sampler.from_step(step):
            share = self._ordered(numbers)[self._rank :: self._world]
            yield from (share[cut] for cut in self._cuts)

    def augmentations(self, step: int, limits: AugmentationLimits) -> list[dict[str, Augmentation] | None]:
        """Random changes of each micro-batch by camera, the same for any number of processes; None: no
        changes.
        """
        if not limits:
            return [None] * len(self._cuts)
        drawn = limits.draw(np.random.default_rng([self._seed, step]), self._sampler.batch)
        share = {role: each.select(slice(self._rank, None, self._world)) for role, each in drawn.items()}
        return [{role: each.select(cut) for role, each in share.items()} for cut in self._cuts]

    def seed(self, step: int) -> int:
        """Seed of a step's other random numbers (dropout), different for each process."""
        return int(
            np.random.SeedSequence([self._seed, step, self._rank]).generate_state(1, np.uint64)[0] >> 1
        )
