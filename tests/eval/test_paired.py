"""Paired intervals: published values, and what decides."""

from __future__ import annotations

import numpy as np
import pytest

from gr1_core.eval.paired import mean_difference, rate_difference


def pairs(both: int, only_b: int, only_a: int, neither: int):
    a = [True] * both + [False] * only_b + [True] * only_a + [False] * neither
    b = [True] * both + [True] * only_b + [False] * only_a + [False] * neither
    return a, b


def test_the_interval_is_newcombes():
    """Newcombe (1998), Statistics in Medicine 17, table III: 36 + 12 + 2 + 0 pairs, method 10."""
    found = rate_difference(*pairs(36, 12, 2, 0))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=2e-4)
    assert found.decided == 1


def test_swapping_turns_the_interval_round_and_equal_results_decide_nothing():
    a, b = pairs(20, 9, 3, 18)
    one, other = rate_difference(a, b), rate_difference(b, a)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert rate_difference(a, a).decided == 0 and rate_difference([], []).decided == 0
    assert rate_difference(*pairs(0, 50, 0, 0)).low > 0.8


def test_nine_of_ten_intervals_hold_the_true_difference():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        layout = rng.random(100)  # hard layouts are hard for both
        a, b = layout + 0.2 * rng.random(100) < 0.6, layout + 0.2 * rng.random(100) < 0.7
        found = rate_difference(a, b)
        inside += found.low <= 0.1 <= found.high
    assert inside > 370


def test_means_of_the_same_episodes():
    rng = np.random.default_rng(1)
    a = rng.normal(1.0, 0.5, 30)
    found = mean_difference(a, a - 0.1 + rng.normal(0, 0.02, 30))
    assert found.decided == -1 and found.low < -0.1 < found.high
    few = mean_difference(a[:4], a[:4] - 1)
    assert few.decided == 0 and few.value == pytest.approx(-1)
