"""Batches on the device, copied one ahead of the computation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gr1_core.data.loader import Loader
from gr1_core.data.windows import Batch


@dataclass
class DeviceBatch:
    """A Batch with its arrays as tensors on the device, its images u8[B, W + n, h, w, 3]. host: the batch
    itself.
    """

    host: Batch
    state: Tensor | None
    action: Tensor | None
    tokens: Tensor
    valid: Tensor
    future: Tensor
    images: dict[str, Tensor] = field(default_factory=dict)
    later_action: Tensor | None = None
    later_valid: Tensor | None = None
    weight: Tensor | None = None
    copied: torch.cuda.Event | None = None

    @property
    def tensors(self) -> list[Tensor]:
        named = (self.state, self.action, self.tokens, self.valid, self.future, *self.images.values())
        named += (self.later_action, self.later_valid, self.weight)
        return [tensor for tensor in named if tensor is not None]


class DeviceBatches:
    """Iterates over a Loader's batches on the device. `with` closes the loader.

    On CUDA a side stream copies the next batch, if it is decoded, while the current one is computed. A
    batch's images are valid until the next batch is asked for; then the loader reuses their memory.
    """

    def __init__(self, loader: Loader, device: torch.device):
        self._loader, self._device = loader, device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._ahead: DeviceBatch | None = None
        self._in_use: list[DeviceBatch] = []

    @property
    def waited_s(self) -> float:
        """Seconds that the caller has waited for decoded images."""
        return self._loader.waited_s

    def __iter__(self) -> Iterator[DeviceBatch]:
        return self

    def __next__(self) -> DeviceBatch:
        self._release_used()
        batch = self._ahead or self._start_copy(next(self._loader))
        self._ahead = self._start_copy(next(self._loader)) if self._stream and self._loader.ready else None
        if self._stream:
            compute = torch.cuda.current_stream(self._device)
            compute.wait_event(batch.copied)
            for tensor in batch.tensors:
                # Allocated on the side stream: its memory must not be given away while the computation still
                # reads it.
                tensor.record_stream(compute)
        self._in_use.append(batch)
        return batch

    def __enter__(self) -> DeviceBatches:
        return self

    def __exit__(self, *_) -> None:
        if self._stream:
            self._stream.synchronize()
        self._loader.close()

    def _start_copy(self, batch: Batch) -> DeviceBatch:
        if self._stream is None:
            return self._copied(batch)
        with torch.cuda.stream(self._stream):
            copy = self._copied(batch)
            copy.copied = torch.cuda.Event()
            copy.copied.record()
        return copy

    def _copied(self, batch: Batch) -> DeviceBatch:
        vectors = (batch.state, batch.action, batch.tokens, batch.valid, batch.future)
        images = {role: to_device(array, self._device) for role, array in batch.images.items()}
        named = (batch.later_action, batch.later_valid, batch.weight)
        later = (to_device(array, self._device) for array in named)
        return DeviceBatch(batch, *(to_device(array, self._device) for array in vectors), images, *later)

    def _release_used(self) -> None:
        """Gives back the host memory of batches that nothing reads any more."""
        waiting = []
        for batch in self._in_use:
            if batch.copied is not None and not batch.copied.query():
                waiting.append(batch)
            else:
                self._loader.release(batch.host)
        self._in_use = waiting


def to_device(array: np.ndarray | None, device: torch.device) -> Tensor | None:
    """An array as a tensor on the device. On a CPU it shares the array's memory; on CUDA the copy is
    asynchronous.
    """
    if array is None:
        return None
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cpu":
        return tensor
    return (tensor if tensor.is_pinned() else tensor.pin_memory()).to(device, non_blocking=True)
