"""Actions as one of 256 equal bins per dimension, as in RT-1 (Brohan et al. 2022, "RT-1: Robotics
Transformer").
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

COUNT = 256


def encode(arm: Tensor) -> Tensor:
    """Arm deltas in the model's units -> their bins, i64 0 .. 255 over [-1, 1]; values outside fall into the
    outermost bins.
    """
    # NaN too: steps past an episode's end are excluded from the loss only after this.
    return ((arm + 1) * (COUNT / 2)).nan_to_num().clamp(0, COUNT - 1).long()


def decode(bins: Tensor) -> Tensor:
    """Bins -> their centres, at most 1/256 from the encoded value."""
    return (bins + 0.5) * (2 / COUNT) - 1


def likeliest(logits: Tensor) -> Tensor:
    """Logits [..., 256] -> the centre of the likeliest bin [...], in the logits' type."""
    return decode(logits.argmax(-1)).to(logits.dtype)


def cross_entropy(logits: Tensor, arm: Tensor) -> Tensor:
    """Logits [..., 6, 256] and arm deltas [..., 6] -> the cross-entropy in nats, the mean over the
    dimensions, [...].
    """
    errors = F.cross_entropy(logits.flatten(0, -2), encode(arm).flatten(), reduction="none")
    return errors.unflatten(0, arm.shape).mean(-1)
