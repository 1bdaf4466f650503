"""From encoded frames to what the model sees of them: decoded when they are needed, or once per machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gr1_core.data.dataset import Dataset

_SHARE = 64  # frames a thread takes at a time


class Decoder:
    """One camera's frames, decoded and cropped (`Camera.view`); from any number of threads."""

    def __init__(self, dataset: Dataset, role: str):
        self._size = (*dataset.shape(role), 3)
        self._dataset, self._role, self._camera = dataset, role, dataset.cameras[role]
        self._local = threading.local()
        self.shape = self._camera.view(np.broadcast_to(np.uint8(0), self._size)).shape
        dataset.frames(role)  # indexed before threads ask for them

    def __call__(self, frame: int) -> np.ndarray:
        """Frame -> u8[h, w, 3], valid until this thread's next call."""
        if not hasattr(self._local, "scratch"):
            self._local.scratch = np.empty(self._size, np.uint8)
        return self._camera.view(self._dataset.image(self._role, frame, self._local.scratch))

    def fill(self, slots: np.ndarray, frames: np.ndarray, groups: Sequence[np.ndarray]) -> None:
        """Each group lists the slots of one frame: slots[i] = frame frames[i], decoded once for all i of the group."""
        for group in groups:
            slots[group] = self(int(frames[group[0]]))


class DecodedFrames:
    """The same from a memory-mapped file u8[length, h, w, 3], which the first process on a machine makes; `fill` only copies."""

    def __init__(self, dataset: Dataset, role: str):
        decoder = Decoder(dataset, role)
        self.shape = decoder.shape
        height, width, _ = self.shape
        name = f"{role}.{height}x{width}.{dataset.cameras[role].crop}.npy"
        path = dataset.cache.get(
            name, dataset.length * height * width * 3, lambda path: _decode_all(decoder, dataset.length, path)
        )
        self._frames = np.load(path, mmap_mode="r")

    def fill(self, slots: np.ndarray, frames: np.ndarray, groups: Sequence[np.ndarray]) -> None:
        for group in groups:
            slots[group] = self._frames[frames[group[0]]]


def _decode_all(decoder: Decoder, length: int, path: Path) -> None:
    out = np.lib.format.open_memmap(path, "w+", np.uint8, (length, *decoder.shape))

    def share(start: int) -> int:
        stop = min(start + _SHARE, length)
        for frame in range(start, stop):
            out[frame] = decoder(frame)
        return stop - start

    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        with tqdm(total=length, desc="decode", unit="frame", leave=False, disable=None) as bar:
            for done in pool.map(share, range(0, length, _SHARE)):
                bar.update(done)
    finally:
        pool.shutdown(cancel_futures=True)
    out.flush()
