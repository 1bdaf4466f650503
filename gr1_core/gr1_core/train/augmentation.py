"""Random changes of what a training run sees: small shifts, other colours. One for all frames of a window and camera."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gr1_core.model.patches import MEAN, STD

_SATURATION = 0.3, 1.2


@dataclass(frozen=True)
class AugmentationLimits:
    """How much may change. shift: most pixels of each camera; colour: most gain and offset of each ImageNet-normalised channel.

    hue: share of the windows whose hue is turned by any angle and whose saturation is another one, in all cameras alike.
    """

    shift: dict[str, int] = field(default_factory=dict)
    colour: float = 0.0
    hue: float = 0.0

    def __bool__(self) -> bool:
        return any(self.shift.values()) or self.colour > 0 or self.hue > 0

    def draw(self, random: np.random.Generator, count: int) -> dict[str, Augmentation]:
        """Of so many windows, by camera."""
        drawn = {
            role: (_shift(random, count, limit), _gain(random, count, self.colour))
            for role, limit in self.shift.items()
        }
        hue = hue_rotations(random, count, self.hue)
        return {role: Augmentation(shift, (gain @ hue).astype(np.float32)) for role, (shift, gain) in drawn.items()}


@dataclass(frozen=True)
class Augmentation:
    """Of B windows of one camera. shift: i64[B, 2] (down, right) in pixels of its view.

    colour: f32[B, 4, 4], the affine map of (red, green, blue, 1), ImageNet-normalised.
    """

    shift: np.ndarray
    colour: np.ndarray

    def part(self, windows: slice) -> Augmentation:
        return Augmentation(self.shift[windows], self.colour[windows])


def _shift(random: np.random.Generator, count: int, limit: int) -> np.ndarray:
    return random.integers(-limit, limit + 1, (count, 2))


def _gain(random: np.random.Generator, count: int, limit: float) -> np.ndarray:
    """f64[count, 4, 4]: each channel's gain within 1 +- limit, its offset within +-limit."""
    change = random.uniform(-limit, limit, (count, 2, 3))
    maps = np.tile(np.eye(4), (count, 1, 1))
    maps[:, range(3), range(3)] += change[:, 0]
    maps[:, :3, 3] = change[:, 1]
    return maps


def hue_rotations(random: np.random.Generator, count: int, share: float) -> np.ndarray:
    """f64[count, 4, 4]: for so many of the windows a turn about the axis of greys, and a scale off it. Nothing is drawn for share 0.

    What a thing is must then be told by its shape: training has few colours, the world has many. A vivid colour may leave what a camera
    can give; it is not clipped.
    """
    maps = np.tile(np.eye(4), (count, 1, 1))
    if share == 0:
        return maps
    chosen = random.random(count) < share
    angle, scale = random.uniform(-np.pi, np.pi, count), random.uniform(*_SATURATION, count)
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    across = np.cos(angle)[:, None, None] * (np.eye(3) - grey) + np.sin(angle)[:, None, None] * cross
    turn = grey + scale[:, None, None] * across
    mean, std = np.array(MEAN), np.array(STD)
    maps[chosen, :3, :3] = (turn * std / std[:, None])[chosen]
    maps[chosen, :3, 3] = ((turn @ mean - mean) / std)[chosen]
    return maps


def shift_images(images: Tensor, shift: Tensor) -> Tensor:
    """Moves [B, T, h, w, 3] by shift i64[B, 2] (down, right) pixels a window; the edge is repeated into what comes free."""
    height, width = images.shape[2:4]
    rows = (torch.arange(height, device=images.device) - shift[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - shift[:, 1:]).clamp(0, width - 1)
    of = torch.arange(len(images), device=images.device)[:, None, None]
    # Indexed axes come first when a slice lies between them: [B, h, w, T, 3].
    return images[of, :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def recolour_images(images: Tensor, colour: Tensor) -> Tensor:
    """Preprocessed [B, T, 3, S, S], colour f32[B, 4, 4]."""
    # No matrix product: on a GPU that might be in TF32, for pictures that nobody recolours, too.
    colour = colour[:, None, :3, :, None, None]
    return sum(
        (images[:, :, [channel]] * colour[:, :, :, channel] for channel in range(3)), colour[:, :, :, 3]
    )
