"""When it is decided which of two checkpoints is better, and the intervals of paired trials. ROS-free.

The test is Robbins' beta-binomial mixture sequential sign test (a mixture sequential probability ratio test):
of the pairs in which only one checkpoint succeeded, k of m were A's. Under "both are equally good" k has the
probabilities of m throws of a coin. The e-value compares the mixture of all other coins, with Jeffreys' prior
Beta(1/2, 1/2), with that one coin. By Ville's inequality it reaches 1 / alpha with a probability of at most
alpha, however often one looks and whenever one stops: looking after every pair and going on after an
interruption cost no error. A test for a number of pairs that is fixed beforehand has no such guarantee.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gr1_core.eval.wilson import wilson

ALPHA = 0.05
NAME = "Robbins' beta-binomial mixture sequential sign test"


@dataclass(frozen=True)
class PairCounts:
    """Pairs in which both, only A, only B and neither succeeded."""

    both: int = 0
    only_a: int = 0
    only_b: int = 0
    neither: int = 0

    @property
    def pairs(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither


def e_value(counts: PairCounts) -> float:
    """Evidence against "equally good"; 1 without any pair that differs."""
    return math.exp(_log_mixture(counts) + (counts.only_a + counts.only_b) * math.log(2.0))


def decision(counts: PairCounts, alpha: float = ALPHA) -> str:
    """ "a" or "b": that one is better; "": not decided yet."""
    if e_value(counts) < 1.0 / alpha:
        return ""
    return "a" if counts.only_a > counts.only_b else "b"


def share_interval(counts: PairCounts, alpha: float = ALPHA) -> tuple[float, float]:
    """(low, high) of A's share of the pairs that differ, valid whenever one stops; it leaves out 1/2 exactly
    where `decision` has decided.
    """
    a, b = counts.only_a, counts.only_b
    if not a + b:
        return 0.0, 1.0
    limit = _log_mixture(counts) - math.log(1.0 / alpha)

    def inside(share: float) -> bool:
        wins = a * math.log(share) if a else 0.0
        return wins + (b * math.log1p(-share) if b else 0.0) > limit

    best = min(max(a / (a + b), 1e-9), 1.0 - 1e-9)
    return _edge(inside, best, 1e-12), _edge(inside, best, 1.0 - 1e-12)


def difference_interval(counts: PairCounts) -> tuple[float, float, float]:
    """(difference, low, high) of the success rates, A's minus B's: the 95 % interval of Newcombe (1998,
    method 10) for paired rates, made for a number of pairs that was fixed beforehand. Without pairs: (0, -1,
    1).
    """
    n = counts.pairs
    if not n:
        return 0.0, -1.0, 1.0
    wins = counts.both + counts.only_a, counts.both + counts.only_b
    (rate_a, rate_b), ((low_a, high_a), (low_b, high_b)) = (
        [won / n for won in wins],
        [wilson(won, n) for won in wins],
    )
    margins = wins[0] * (n - wins[0]) * wins[1] * (n - wins[1])
    cross = counts.both * counts.neither - counts.only_a * counts.only_b
    cross = max(cross - n / 2, 0.0) if cross > 0 else cross
    phi = cross / math.sqrt(margins) if margins else 0.0

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(x * x - 2.0 * phi * x * y + y * y, 0.0))

    difference = rate_a - rate_b
    low = difference - reach(rate_a - low_a, high_b - rate_b)
    high = difference + reach(high_a - rate_a, rate_b - low_b)
    return difference, max(low, -1.0), min(high, 1.0)


def _log_mixture(counts: PairCounts) -> float:
    """Logarithm of B(a + 1/2, b + 1/2) / B(1/2, 1/2)."""
    a, b = counts.only_a + 0.5, counts.only_b + 0.5
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b) - math.log(math.pi)


def _edge(inside, start: float, end: float) -> float:
    """Where `inside`, true at `start`, becomes false on the way to `end`."""
    if inside(end):
        return round(end)
    for _ in range(60):
        middle = 0.5 * (start + end)
        start, end = (middle, end) if inside(middle) else (start, middle)
    return start
