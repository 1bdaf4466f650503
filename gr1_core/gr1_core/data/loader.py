"""Batches of windows, decoded by threads in the background. libjpeg-turbo and OpenCV work outside of Python's lock, so threads suffice."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from gr1_core.data.decoding import DecodedFrames, Decoder
from gr1_core.data.windows import Batch, Windows

_SHARES = 4  # tasks a thread and batch: small enough that the threads finish together


class Sampler:
    """The order of training: in every epoch all windows in a new order, cut into global batches, of which each rank takes its part.

    The last incomplete batch of an epoch is dropped, so that all steps weigh the same; other windows fall into it in every epoch.
    Rank r of `world` takes entries r, r + world, ... of each global batch, so that all ranks together see exactly the batch of one process.
    """

    def __init__(self, length: int, batch: int, seed: int, rank: int = 0, world: int = 1):
        if batch > length:
            raise ValueError(
                f"a batch of {batch} needs at least as many windows, the dataset has {length}: choose a smaller batch"
            )
        if batch % world:
            raise ValueError(
                f"a global batch of {batch} does not divide into {world} equal parts: choose a multiple of {world}"
            )
        self.length, self.batch, self.seed, self.rank, self.world = length, batch, seed, rank, world
        self.per_epoch = length // batch

    def epoch(self, epoch: int, position: int = 0) -> Iterator[np.ndarray]:
        """This rank's batches of one epoch from global batch `position` on: arrays of window numbers, i64[batch / world]."""
        order = epoch_order(self.length, self.seed, epoch)
        for start in range(position * self.batch, self.per_epoch * self.batch, self.batch):
            yield order[start : start + self.batch][self.rank :: self.world]

    def from_step(self, step: int = 0) -> Iterator[np.ndarray]:
        """Batches without end, from the step-th global batch since the beginning of training."""
        epoch, position = divmod(step, self.per_epoch)
        while True:
            yield from self.epoch(epoch, position)
            epoch, position = epoch + 1, 0


def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of an epoch's windows, i64[length]."""
    return np.random.default_rng([seed, epoch]).permutation(length)


def in_order(length: int, batch: int, rank: int = 0, world: int = 1) -> Iterator[np.ndarray]:
    """All windows once and in their order, for evaluation; the last batch is as short as it comes, a rank's part may be empty."""
    for start in range(0, length, batch):
        yield np.arange(start, min(start + batch, length))[rank::world]


class Loader:
    """Iterates over Batches of `windows`, one for each array of window numbers that `batches` gives, in that order.

    threads: that decode; default: all processors that this process may use. prefetch: batches in preparation beside the one in use.
    roles: cameras, default all of the dataset. images=False: batches without images. decoded=True: frames are decoded once per machine
    into a memory-mapped file (h * w * 3 bytes a frame) and only copied from then on.

    The arrays in Batch.images are used again for a later batch once nobody refers to them (or to a view of them).
    An error in a thread is raised here, at its batch. Use it in a `with`, or call close().
    """

    def __init__(
        self,
        windows: Windows,
        batches: Iterable[np.ndarray],
        threads: int | None = None,
        images: bool = True,
        roles: Iterable[str] | None = None,
        decoded: bool = False,
        prefetch: int = 2,
    ):
        self.windows, self.prefetch = windows, prefetch
        self.waited_s = 0.0
        self.threads = threads or len(os.sched_getaffinity(0))
        self._batches = iter(batches)
        self._roles = tuple(windows.dataset.roles if roles is None else roles) if images else ()
        self._sources = {
            role: DecodedFrames(windows.dataset, role) if decoded else Decoder(windows.dataset, role)
            for role in self._roles
        }
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")
        self._arrays: list[np.ndarray] = []
        self._ahead: deque[tuple[Batch, list[Future]]] = deque()
        self._closed = False

    def __iter__(self) -> Loader:
        return self

    def __next__(self) -> Batch:
        began = time.perf_counter()
        if self._closed:
            raise StopIteration
        while len(self._ahead) <= self.prefetch:
            indices = next(self._batches, None)
            if indices is None:
                break
            self._ahead.append(self._begin(indices))
        if not self._ahead:
            self.close()
            raise StopIteration
        batch, work = self._ahead.popleft()
        try:
            for share in work:
                share.result()
        except BaseException:
            self.close()
            raise
        self.waited_s += time.perf_counter() - began
        return batch

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads; batches that were handed out stay usable."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._ahead.clear()
        self._arrays.clear()

    def _begin(self, indices: np.ndarray) -> tuple[Batch, list[Future]]:
        batch = self.windows.batch(indices)
        if not self._sources:
            return batch, []
        # Slots of one frame lie together after the sort: it is decoded for the first of them and copied to the others.
        flat = batch.frames.reshape(-1)
        order = np.argsort(flat, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(flat[order], prepend=-1)))[1:]
        size = -(-len(groups) // (self.threads * _SHARES)) or 1
        work = []
        for role, source in self._sources.items():
            image = batch.images[role] = self._array((*batch.frames.shape, *source.shape))
            slots = image.reshape(-1, *source.shape)
            work += [
                self._pool.submit(source.fill, slots, flat, groups[at : at + size])
                for at in range(0, len(groups), size)
            ]
        return batch, work

    def _array(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array that nobody refers to any more, or a new one: pages that were used before cost no time to get."""
        for array in self._arrays:
            # The list, the loop's variable and getrefcount's argument.
            if array.shape == shape and sys.getrefcount(array) == 3:
                return array
        array = np.empty(shape, np.uint8)
        self._arrays = [*self._arrays, array][-len(self._roles) * (self.prefetch + 2) :]
        return array
