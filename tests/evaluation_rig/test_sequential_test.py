"""The sequential test of paired trials: its error, when it decides, and its intervals."""

import numpy as np
import pytest

from gr1_evaluation.rig.sequential_test import (
    PairCounts,
    decision,
    difference_interval,
    e_value,
    share_interval,
)


def test_seven_pairs_in_a_row_decide_and_six_do_not():
    assert decision(PairCounts(only_a=6)) == "" and decision(PairCounts(only_a=7)) == "a"
    assert decision(PairCounts(only_b=7, both=30)) == "b"
    assert e_value(PairCounts(both=20, neither=20)) == pytest.approx(1.0)


@pytest.mark.parametrize("equal", [0.2, 0.9])
def test_equal_checkpoints_are_told_apart_in_no_more_than_one_of_twenty_evaluations(equal):
    rng, wrong, runs = np.random.default_rng(4), 0, 400
    for _ in range(runs):
        a, b = rng.random((2, 60)) < equal
        only_a, only_b = np.cumsum(a & ~b), np.cumsum(b & ~a)
        looks = (PairCounts(only_a=int(x), only_b=int(y)) for x, y in zip(only_a, only_b))
        wrong += any(decision(look) for look in looks)  # a look after every pair
    assert wrong / runs <= 0.05


def test_the_interval_of_the_share_leaves_out_one_half_exactly_where_it_is_decided():
    for a in range(13):
        for b in range(13 - a):
            counts = PairCounts(only_a=a, only_b=b)
            low, high = share_interval(counts)
            assert (low > 0.5 or high < 0.5) == bool(decision(counts)), (a, b)
            assert 0.0 <= low <= a / max(a + b, 1) <= high or not a + b
    assert share_interval(PairCounts()) == (0.0, 1.0)


def test_the_interval_of_the_difference_is_that_of_the_literature():
    # Newcombe 1998, Statistics in Medicine 17:2635, method 10.
    difference, low, high = difference_interval(PairCounts(both=36, only_a=12, only_b=2, neither=0))
    assert difference == pytest.approx(0.20) and (low, high) == pytest.approx((0.0569, 0.3404), abs=2e-4)
    difference, low, high = difference_interval(PairCounts(both=2, only_a=14, only_b=0, neither=34))
    assert difference == pytest.approx(0.28)
    assert 0.1 < low < difference < high < 0.45
    assert difference_interval(PairCounts()) == (0.0, -1.0, 1.0)
    assert difference_interval(PairCounts(both=9)) == pytest.approx((0.0, -0.2992, 0.2992), abs=1e-3)
