"""Batches of windows, decoded by threads in the background.

libjpeg-turbo and OpenCV release Python's lock, so threads suffice.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from gr1_core.data.decoding import DecodedFrames, Decoder
from gr1_core.data.windows import Batch, Windows

_TASKS_PER_THREAD = 4  # per batch: small enough that the threads finish together


class Sampler:
    """The order of training: in every epoch all windows in a new order, cut into global batches.

    The last incomplete batch of an epoch is dropped, so that all steps have equal weight; each epoch drops
    other windows.
    """

    def __init__(self, length: int, batch: int, seed: int):
        if batch > length:
            raise ValueError(
                f"a batch of {batch} needs at least as many windows, the dataset has {length}: choose a "
                "smaller batch"
            )
        self.length, self.batch, self.seed = length, batch, seed
        self.per_epoch = length // batch

    def epoch(self, epoch: int, position: int = 0) -> Iterator[np.ndarray]:
        """The batches of one epoch from global batch `position` on: window numbers i64[batch]."""
        order = epoch_order(self.length, self.seed, epoch)
        for start in range(position * self.batch, self.per_epoch * self.batch, self.batch):
            yield order[start : start + self.batch]

    def from_step(self, step: int = 0) -> Iterator[np.ndarray]:
        """Batches without end, from global batch `step` since the beginning of training."""
        epoch, position = divmod(step, self.per_epoch)
        while True:
            yield from self.epoch(epoch, position)
            epoch, position = epoch + 1, 0


@lru_cache(maxsize=2)
def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of an epoch's windows, i64[length], read-only.

    The last two are kept: large ones take seconds.
    """
    order = np.random.default_rng([seed, epoch]).permutation(length)
    order.flags.writeable = False
    return order


def in_order(length: int, batch: int) -> Iterator[np.ndarray]:
    """All window numbers once and in order, cut into batches; the last one may be shorter."""
    for start in range(0, length, batch):
        yield np.arange(start, min(start + batch, length))


def decoder_threads() -> int:
    """Default number of decoder threads: this process's cores, shared with the other local processes of a
    distributed run.
    """
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, len(os.sched_getaffinity(0)) // local)


class Loader:
    """Iterates over Batches of `windows`, one per array of window numbers in `batches`, in that order.

    threads: decoder threads, default `decoder_threads()`. prefetch: batches in preparation besides the
    current one. roles: cameras, default all of the dataset. images=False: batches without images.
    decode_once=True: frames are decoded once per machine into a memory-mapped file (h * w * 3 bytes per
    frame) and from then on only copied. pin_memory=True: images lie in page-locked memory, from which a GPU
    copies asynchronously.

    The arrays in Batch.images stay valid until the batch is given to `release`; then later batches reuse
    them. An unreleased batch keeps its arrays. An error in a thread is raised here, at its batch. Use it in a
    `with`, or call close().
    """

    def __init__(
        self,
        windows: Windows,
        batches: Iterable[np.ndarray],
        threads: int | None = None,
        images: bool = True,
        roles: Iterable[str] | None = None,
        decode_once: bool = False,
        prefetch: int = 2,
        pin_memory: bool = False,
    ):
        self.windows, self.prefetch = windows, prefetch
        self.waited_s = 0.0
        self.threads = threads or decoder_threads()
        self._batches = iter(batches)
        self._roles = tuple(windows.dataset.roles if roles is None else roles) if images else ()
        self._frames = {
            role: DecodedFrames(windows.dataset, role) if decode_once else Decoder(windows.dataset, role)
            for role in self._roles
        }
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")
        self._buffers = _Buffers(pin_memory)
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
            self._ahead.append(self._start_batch(indices))
        if not self._ahead:
            self.close()
            raise StopIteration
        batch, tasks = self._ahead.popleft()
        try:
            for task in tasks:
                task.result()
        except BaseException:
            self.close()
            raise
        self.waited_s += time.perf_counter() - began
        return batch

    @property
    def ready(self) -> bool:
        """Whether the next batch is decoded, so that `next` does not wait."""
        return bool(self._ahead) and all(task.done() for task in self._ahead[0][1])

    def release(self, batch: Batch) -> None:
        """Lends the batch's image arrays to later batches; neither they nor views of them may be used any
        more.
        """
        for role in list(batch.images):
            self._buffers.put_back(batch.images.pop(role))

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads. Batches that were handed out stay valid."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._ahead.clear()

    def _start_batch(self, indices: np.ndarray) -> tuple[Batch, list[Future]]:
        batch = self.windows.batch(indices)
        if not self._frames:
            return batch, []
        # After the sort the slots of one frame are neighbours: it is decoded for the first of them and copied
        # to the others.
        flat = batch.frames.reshape(-1)
        order = np.argsort(flat, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(flat[order], prepend=-1)))[1:]
        size = -(-len(groups) // (self.threads * _TASKS_PER_THREAD)) or 1
        tasks = []
        for role, frames in self._frames.items():
            image = batch.images[role] = self._buffers.take_out((*batch.frames.shape, *frames.shape))
            slots = image.reshape(-1, *frames.shape)
            tasks += [
                self._pool.submit(frames.fill, slots, flat, groups[at : at + size])
                for at in range(0, len(groups), size)
            ]
        return batch, tasks


class _Buffers:
    """Image arrays for reuse: pages that were used before cost no time to get.

    Only arrays that were put back are reused.
    """

    def __init__(self, pinned: bool):
        self._pinned = pinned
        self._free: dict[tuple[int, ...], list[np.ndarray]] = {}

    def take_out(self, shape: tuple[int, ...]) -> np.ndarray:
        """A u8 array of this shape with any content."""
        free = self._free.get(shape)
        if free:
            return free.pop()
        if self._pinned:
            import torch

            # The array keeps the tensor, and with it the page-locked memory, alive.
            return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()
        return np.empty(shape, np.uint8)

    def put_back(self, array: np.ndarray) -> None:
        self._free.setdefault(array.shape, []).append(array)
