"""How far two actions are apart, in standard deviations: metres, radians and the gripper count alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SMALLEST_SHARE = 0.05
"""A number of the action that hardly varies counts in this share of its group's largest deviation."""
_GROUPS = (slice(0, 3), slice(3, 6), slice(6, 7))  # translation, rotation, gripper


def usable_std(std: Sequence[float]) -> np.ndarray:
    """f64[7]: standard deviations of an action's numbers, none so small that it would outweigh the others."""
    usable = np.array(std, np.float64)
    for group in _GROUPS:
        usable[group] = np.maximum(usable[group], max(_SMALLEST_SHARE * float(usable[group].max()), 1e-6))
    return usable


def action_distance(error: np.ndarray, std: Sequence[float]) -> np.ndarray:
    """f[T, 7], difference of two actions -> f64[T]: RMS over the numbers, in standard deviations."""
    return np.sqrt(np.square(error / np.asarray(std)).mean(1))
