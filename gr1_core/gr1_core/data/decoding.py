"""From encoded frames to the model's view of them: decoded at every use, or once per machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gr1_core.data.dataset import Dataset

_FRAMES_PER_TASK = 64


class Decoder:
    """One camera's frames, decoded and cropped (`Camera.view`). May be used from any number of threads."""

    def __init__(self, dataset: Dataset, role: str):
        self._size = (*dataset.shape(role), 3)
        self._dataset, self._role, self._camera = dataset, role, dataset.cameras[role]
        self._local = threading.local()
        self.shape = self._camera.view(np.broadcast_to(np.uint8(0), self._size)).shape
        # Builds the index now, not in a thread.
        dataset.frames(role)

    def decode(self, frame: int) -> np.ndarray:
        """Row of the dataset -> u8[h, w, 3], valid until this thread's next call."""
        if not hasattr(self._local, "scratch"):
            self._local.scratch = np.empty(self._size, np.uint8)
        return self._camera.view(self._dataset.image(self._role, frame, self._local.scratch))

    def fill(self, slots: np.ndarray, frames: np.ndarray, groups: Sequence[np.ndarray]) -> None:
        """slots[i] = frame frames[i] for all i in groups.

        A group lists the slots of one frame, which is decoded once.
        """
        for group in groups:
            slots[group] = self.decode(int(frames[group[0]]))


class DecodedFrames:
    """The same frames from a memory-mapped file u8[length, h, w, 3] in the dataset's cache.

    The first process to need it writes it.
    """

    def __init__(self, dataset: Dataset, role: str):
        decoder = Decoder(dataset, role)
        self.shape = decoder.shape
        height, width, _ = self.shape
        path = dataset.cache.path(f"{role}.{height}x{width}.{_name(dataset.cameras[role].crop)}.npy")
        if not path.is_file():
            with dataset.cache.creating(path.name, dataset.length * height * width * 3) as partial:
                if partial is not None:
                    _decode_all(decoder, dataset.length, partial)
        self._frames = np.load(path, mmap_mode="r")

    def fill(self, slots: np.ndarray, frames: np.ndarray, groups: Sequence[np.ndarray]) -> None:
        """As Decoder.fill."""
        for group in groups:
            slots[group] = self._frames[frames[group[0]]]


def _decode_all(decoder: Decoder, length: int, path: Path) -> None:
    out = np.lib.format.open_memmap(path, "w+", np.uint8, (length, *decoder.shape))

    def decode_some(start: int) -> int:
        stop = min(start + _FRAMES_PER_TASK, length)
        for frame in range(start, stop):
            out[frame] = decoder.decode(frame)
        return stop - start

    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        with tqdm(total=length, desc="decode", unit="frame", leave=False, disable=None) as bar:
            for done in pool.map(decode_some, range(0, length, _FRAMES_PER_TASK)):
                bar.update(done)
    finally:
        pool.shutdown(cancel_futures=True)
    out.flush()


def _name(crop: str | tuple[int, ...]) -> str:
    """A camera's crop in a file's name."""
    return crop if isinstance(crop, str) else "-".join(map(str, crop))
