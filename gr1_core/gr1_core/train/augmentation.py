"""Random changes of training images: small shifts and other colours, the same for all frames of a window and
camera.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gr1_core.model.patches import MEAN, STD

_SATURATION = 0.3, 1.2


@dataclass(frozen=True)
class AugmentationLimits:
    """Largest changes. shift: pixels, by camera. colour: gain and offset of each ImageNet-normalised channel.

    hue: share of the windows whose hue is rotated by any angle and whose saturation is scaled, in all cameras
    alike.
    """

    shift: dict[str, int] = field(default_factory=dict)
    colour: float = 0.0
    hue: float = 0.0

    def __bool__(self) -> bool:
        return any(self.shift.values()) or self.colour > 0 or self.hue > 0

    def draw(self, random: np.random.Generator, count: int) -> dict[str, Augmentation]:
        """Random changes of `count` windows, by camera."""
        drawn = {
            role: (_draw_shift(random, count, limit), _draw_gain(random, count, self.colour))
            for role, limit in self.shift.items()
        }
        hue = hue_rotations(random, count, self.hue)
        # Shifts and gains are drawn even if their limit is 0, so that the other draws do not depend on it.
        recolours = self.colour > 0 or self.hue > 0
        return {
            role: Augmentation(
                shift if self.shift[role] else None,
                (gain @ hue).astype(np.float32) if recolours else None,
            )
            for role, (shift, gain) in drawn.items()
        }


@dataclass(frozen=True)
class Augmentation:
    """Changes of B windows of one camera; None: no change of this kind.

    shift i64[B, 2]: (down, right) in pixels of its view. colour f32[B, 4, 4]: affine map of
    ImageNet-normalised (red, green, blue, 1).
    """

    shift: np.ndarray | None
    colour: np.ndarray | None

    def select(self, windows: slice | np.ndarray) -> Augmentation:
        """The changes of some of the windows."""
        return Augmentation(
            None if self.shift is None else self.shift[windows],
            None if self.colour is None else self.colour[windows],
        )


def _draw_shift(random: np.random.Generator, count: int, limit: int) -> np.ndarray:
    return random.integers(-limit, limit + 1, (count, 2))


def _draw_gain(random: np.random.Generator, count: int, limit: float) -> np.ndarray:
    """f64[count, 4, 4]: each channel's gain within 1 +- limit, its offset within +-limit."""
    change = random.uniform(-limit, limit, (count, 2, 3))
    maps = np.tile(np.eye(4), (count, 1, 1))
    maps[:, range(3), range(3)] += change[:, 0]
    maps[:, :3, 3] = change[:, 1]
    return maps


def hue_rotations(random: np.random.Generator, count: int, share: float) -> np.ndarray:
    """f64[count, 4, 4]: for a share of the windows a rotation about the grey axis and a scale of the distance
    to it.

    Objects must then be recognised by their shape: the training data have few colours. A vivid colour may
    leave the range of a camera; it is not clipped. Draws nothing for share 0.
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
    """Moves [B, T, h, w, 3] by shift i64[B, 2] (down, right) pixels per window; uncovered pixels repeat the
    edge.
    """
    height, width = images.shape[2:4]
    rows = (torch.arange(height, device=images.device) - shift[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - shift[:, 1:]).clamp(0, width - 1)
    of = torch.arange(len(images), device=images.device)[:, None, None]
    # Indexed axes come first when a slice lies between them: [B, h, w, T, 3].
    return images[of, :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def recolour_images(images: Tensor, colour: Tensor) -> Tensor:
    """Preprocessed [B, T, 3, S, S], colour f32[B, 4, 4]."""
    # No matrix product: a GPU might compute it in TF32, which would change images with an identity map, too.
    colour = colour[:, None, :3, :, None, None]
    return sum(
        (images[:, :, channel : channel + 1] * colour[:, :, :, channel] for channel in range(3)),
        colour[:, :, :, 3],
    )
