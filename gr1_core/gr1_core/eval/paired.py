"""Is B better than A? Intervals of their difference, both measured on the same layouts or episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gr1_core.eval.wilson import wilson

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Difference:
    """Of B - A over `pairs` pairs. low, high: the 95 % interval."""

    pairs: int
    value: float
    low: float
    high: float

    @property
    def decided(self) -> int:
        """+1: above 0, -1: below 0, 0: not decided by these pairs."""
        return int(self.low > 0) - int(self.high < 0)


def rate_difference(a: Sequence[bool], b: Sequence[bool]) -> Difference:
    """The difference of two success rates on the same trials. Newcombe (1998), method 10 for paired rates."""
    first, second = np.asarray(a, bool), np.asarray(b, bool)
    number = len(first)
    if not number:
        return Difference(0, 0.0, -1.0, 1.0)
    p_b, p_a = float(second.mean()), float(first.mean())
    (low_b, high_b), (low_a, high_a) = (wilson(int(each.sum()), number) for each in (second, first))
    phi = _correlation(first, second)

    def distance(one: float, other: float) -> float:
        return float(np.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2)))

    value = p_b - p_a
    below, above = distance(p_b - low_b, high_a - p_a), distance(high_b - p_b, p_a - low_a)
    return Difference(number, value, max(-1.0, value - below), min(1.0, value + above))


def mean_difference(a: Sequence[float], b: Sequence[float], seed: int = 0) -> Difference:
    """The mean difference of two figures of the same episodes; interval by bootstrap over the episodes.

    With fewer than five episodes the interval is unbounded: they decide nothing.
    """
    each = np.asarray(b, np.float64) - np.asarray(a, np.float64)
    if len(each) < 5:
        value = float(each.mean()) if len(each) else 0.0
        return Difference(len(each), value, -np.inf, np.inf)
    drawn = np.random.default_rng(seed).integers(0, len(each), (_RESAMPLES, len(each)))
    low, high = np.quantile(each[drawn].mean(1), (0.025, 0.975))
    return Difference(len(each), float(each.mean()), float(low), float(high))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    both, only_a = int((first & second).sum()), int((first & ~second).sum())
    only_b, neither = int((~first & second).sum()), int((~first & ~second).sum())
    product = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if not product:
        return 0.0
    excess, half = both * neither - only_a * only_b, len(first) / 2
    if excess > 0:  # Newcombe's correction for continuity
        excess = max(0.0, excess - half)
    return excess / float(np.sqrt(product))
