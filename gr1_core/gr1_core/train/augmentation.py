"""Random changes of what a training run sees: small shifts, other colours. One for all frames of a window and camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Change:
    """Of B windows of one camera. shift: i64[B, 2] (down, right) in pixels of its view.

    colour: f32[B, 2, 3], gain and offset of each ImageNet-normalised channel.
    """

    shift: np.ndarray
    colour: np.ndarray

    @classmethod
    def draw(cls, random: np.random.Generator, count: int, shift: int, colour: float) -> Change:
        """Shifts within +-shift; gains within 1 +- colour, offsets within +-colour."""
        pixels = random.integers(-shift, shift + 1, (count, 2))
        return cls(pixels, (random.uniform(-colour, colour, (count, 2, 3)) + [[1], [0]]).astype(np.float32))

    def part(self, windows: slice) -> Change:
        return Change(self.shift[windows], self.colour[windows])


def shifted(images: Tensor, shift: Tensor) -> Tensor:
    """Moves [B, T, h, w, 3] by shift i64[B, 2] (down, right) pixels a window; the edge is repeated into what comes free."""
    height, width = images.shape[2:4]
    rows = (torch.arange(height, device=images.device) - shift[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - shift[:, 1:]).clamp(0, width - 1)
    of = torch.arange(len(images), device=images.device)[:, None, None]
    # Indexed axes come first when a slice lies between them: [B, h, w, T, 3].
    return images[of, :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def recoloured(images: Tensor, colour: Tensor) -> Tensor:
    """Preprocessed [B, T, 3, S, S], colour f32[B, 2, 3]."""
    gain, offset = colour[:, :, None, :, None, None].unbind(1)
    return images * gain + offset
