"""Which windows each step learns from, and which of them this process computes at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gr1_core.data.loader import Sampler
from gr1_core.train.augmentation import Augmentation, AugmentationLimits
from gr1_core.train.recipe import Recipe


class BatchSchedule:
    """starts: the windows that an epoch consists of. Rank r of `world` computes entries r, r + world, ... of each global batch."""

    def __init__(self, recipe: Recipe, starts: np.ndarray, rank: int, world: int):
        if recipe.batch % world:
            raise ValueError(
                f"a batch of {recipe.batch} does not divide into {world} equal parts: choose a multiple of {world}"
            )
        # Of the whole batch: its counts divide the losses, and random shifts are drawn for all of it.
        self._sampler = Sampler(len(starts), recipe.batch, recipe.seed)
        self._starts, self._rank, self._world = starts, rank, world
        self._seed, self._most = recipe.seed, recipe.micro_batch or recipe.batch
        self._epoch, self._batches = -1, []

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return self._sampler.per_epoch

    def batch(self, step: int) -> np.ndarray:
        """The global batch of a step, numbers of windows i64[batch]."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, list(self._sampler.epoch(epoch))
        return self._starts[self._batches[position]]

    def micro_batches(self, step: int) -> Iterator[np.ndarray]:
        """This process's windows from a step on, without end, as many at once as it computes at once."""
        for numbers in self._sampler.from_step(step):
            yield from self.cut(self._starts[numbers])

    def cut(self, values: np.ndarray) -> list[np.ndarray]:
        """This process's share of what belongs to a global batch, in micro-batches."""
        share = values[self._rank :: self._world]
        return [share[start : start + self._most] for start in range(0, len(share), self._most)]

    def changes(self, step: int, limits: AugmentationLimits) -> list[dict[str, Augmentation] | None]:
        """Each micro-batch's random changes by camera; the same for any number of processes. None: no changes."""
        batch = self.batch(step)
        if not limits:
            return [None] * len(self.cut(batch))
        drawn = limits.draw(np.random.default_rng([self._seed, step]), len(batch))
        cut = {role: zip(self.cut(change.shift), self.cut(change.colour)) for role, change in drawn.items()}
        return [{role: Augmentation(*part) for role, part in zip(cut, parts)} for parts in zip(*cut.values())]

    def seed(self, step: int) -> int:
        """Of what else is random in a step (dropout): another one for each process."""
        return int(
            np.random.SeedSequence([self._seed, step, self._rank]).generate_state(1, np.uint64)[0] >> 1
        )
