"""The confidence interval of a success rate. No heavy import: programs without a model use it too."""

from __future__ import annotations


def wilson(successes: int, episodes: int) -> tuple[float, float]:
    """(low, high) of the true rate: the 95 % interval of Wilson's score (1927). Without episodes: (0, 1)."""
    from scipy.stats import binomtest  # takes a moment to import

    if not episodes:
        return 0.0, 1.0
    interval = binomtest(successes, episodes).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)
