"""Pixels <-> patches: the image encoder's input and the image decoder's targets.

A patch is laid out (row, column, channel), channel fastest; patches run row by row (as in MAE, He et al.
2022).
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# ImageNet's mean and standard deviation, RGB in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Scale of changes: with it the loss of predicting no change is about that of predicting the mean of
# normalised patches.
_CHANGE = 4.0


@lru_cache
def _mean_and_std(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """MEAN and STD as [3, 1, 1]. Kept: making them anew would copy from the host, and wait for it, at every
    call.
    """
    with torch.inference_mode(False):
        mean, std = (torch.tensor(values, dtype=dtype, device=device) for values in (MEAN, STD))
        return mean[:, None, None], std[:, None, None]


def preprocess(images: Tensor, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """u8[N, H, W, 3] RGB -> [N, 3, size, size], resized and ImageNet-normalised.

    Bicubic without antialiasing and without clamping, as the published weights were trained; both change the
    actions.
    """
    pixels = images.permute(0, 3, 1, 2).to(dtype).div(255)
    pixels = F.interpolate(pixels, size=(size, size), mode="bicubic", align_corners=False, antialias=False)
    mean, std = _mean_and_std(pixels.device, pixels.dtype)
    return (pixels - mean) / std


def to_pixels(images: Tensor) -> Tensor:
    """[N, 3, H, W] ImageNet-normalised -> u8[N, H, W, 3] RGB."""
    images = images.float()
    mean, std = _mean_and_std(images.device, images.dtype)
    pixels = images * std + mean
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def patchify(images: Tensor, patch: int) -> Tensor:
    """[N, 3, H, W] -> [N, patches, patch * patch * 3]."""
    n, c, h, w = images.shape
    tiles = images.reshape(n, c, h // patch, patch, w // patch, patch)
    return tiles.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, patch * patch * c)


def unpatchify(patches: Tensor, patch: int) -> Tensor:
    """[N, patches, patch * patch * 3] of a square image -> [N, 3, H, W]."""
    n, count, _ = patches.shape
    grid = round(count**0.5)
    tiles = patches.reshape(n, grid, grid, patch, patch, 3)
    return tiles.permute(0, 5, 1, 3, 2, 4).reshape(n, 3, grid * patch, grid * patch)


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and scale of each patch, [..., 1]: the scale is the unbiased standard deviation plus 1e-6 (added
    after the root).
    """
    return patches.mean(-1, keepdim=True), patches.std(-1, keepdim=True) + 1e-6


def change(images: Tensor, present: Tensor, patch: int) -> Tensor:
    """Future frames minus current frames, both [N, 3, H, W] -> scaled patches [N, patches, patch_dim]."""
    return patchify(images - present, patch) * _CHANGE


def changed(present: Tensor, change: Tensor, patch: int) -> Tensor:
    """The inverse of `change`: current frames [N, 3, H, W] and patches [N, patches, patch_dim] -> future
    frames [N, 3, H, W].
    """
    return present + unpatchify(change / _CHANGE, patch)


def targets(images: Tensor, patch: int) -> Tensor:
    """Targets of frames "normalised": [N, 3, H, W] -> patches [N, patches, patch_dim], each with mean 0 and
    scale 1.
    """
    patches = patchify(images, patch)
    mean, scale = patch_statistics(patches)
    return (patches - mean) / scale
