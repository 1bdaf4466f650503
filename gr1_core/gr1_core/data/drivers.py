"""Who drove each frame of an episode: the demonstrator, a policy, or an operator who took over from it.

The column `driver` of a dataset (docs/reference/datasets.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gr1_core.data.bag import Bag, BagError
from gr1_core.data.marks import recorded_labels

COLUMN = "driver"
DEMONSTRATOR, POLICY, OPERATOR = 0, 1, 2
"""A person or the scripted expert in an episode of their own; a policy; who took over from a policy."""


def drivers_of(bag: Bag, teleoperated: np.ndarray) -> np.ndarray:
    """u8[T]: who drove each step of a bag. teleoperated: bool[T], of `steps.Selection`.

    The episode is a policy's if the recorder's label `operator` says so: scripted experts use the policy's
    topics. The label as it was recorded counts; a person may have changed it since. Raises BagError.
    """
    if _recorded_driver(bag) != "policy":
        return np.full(len(teleoperated), DEMONSTRATOR, np.uint8)
    return np.where(teleoperated, OPERATOR, POLICY).astype(np.uint8)


def _recorded_driver(bag: Bag) -> str:
    try:
        return recorded_labels(bag).get("operator", "")
    except BagError:  # a recording without labels of its own
        return bag.labels.get("operator", "")


def to_runs(driver: np.ndarray) -> list[list[int]]:
    """i[T] -> [value, count] of each run of equal values."""
    edges = np.flatnonzero(np.diff(driver)) + 1
    parts = np.split(driver, edges)
    return [[int(part[0]), len(part)] for part in parts if len(part)]


def from_runs(runs: Sequence[Sequence[int]]) -> np.ndarray:
    """The inverse of `to_runs`, u8[T]."""
    values, counts = zip(*runs)
    return np.repeat(np.array(values, np.uint8), counts)
