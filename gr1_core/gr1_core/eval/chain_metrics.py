"""Figures of instruction chains, as CALVIN reports them: instructions in a row and mean length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_RESAMPLES = 10_000


def chain_rates(lengths: Sequence[int], longest: int) -> dict:
    """{"chains", "rates", "mean", "low", "high"} of the instructions that each chain completed in a row.

    rates: share of the chains that completed at least 1, 2, ... `longest`. low, high: 95 % interval of the
    mean, from bootstrap resampling with a fixed seed.
    """
    completed = np.asarray(lengths, np.int64)
    if not len(completed):
        return {"chains": 0, "rates": [0.0] * longest, "mean": 0.0, "low": 0.0, "high": float(longest)}
    rates = [float((completed >= number).mean()) for number in range(1, longest + 1)]
    rng = np.random.default_rng(0)
    means = completed[rng.integers(len(completed), size=(_RESAMPLES, len(completed)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "chains": len(completed),
        "rates": [round(rate, 4) for rate in rates],
        "mean": round(float(completed.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }
