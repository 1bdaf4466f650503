"""A policy that watches is compared with the demonstrator."""

from __future__ import annotations

import numpy as np
import pytest

from gr1_core import Rig
from gr1_policy.demonstrator import Demonstrator

RIG = Rig.load("kinova_gen2")
STATE = np.array([0.4, 0.0, 0.2, 0, 0, 0, 1], np.float32)
STD = [0.5, 0.5, 0.5, 0.2, 0.2, 0.2, 1.0]


def twist_of(delta):
    return RIG.twist(np.asarray(delta, np.float64), STATE[:6].astype(np.float64))


def test_the_distance_is_that_of_the_recorded_figure():
    watched = Demonstrator(RIG, STD)
    watched.on_twist(10.0, *twist_of([0.5, 0, 0, 0, 0, 0]))
    watched.on_gripper(0.0)
    watched.compare(10.05, np.zeros(6), -1, STATE)
    expected = np.sqrt((1.0 + 4.0) / 7)
    values = watched.values(10.1)
    assert values["steps"] == 1 and values["last_second"] == pytest.approx(expected)
    watched.on_twist(12.0, *twist_of([0.5, 0, 0, 0, 0, 0]))
    watched.compare(12.0, np.array([0.5, 0, 0, 0, 0, 0]), 1, STATE)
    values = watched.values(12.1)
    assert values["last_second"] == pytest.approx(0, abs=1e-6)
    assert values["episode"] == pytest.approx(expected / 2)
    watched.reset()
    assert watched.values(12.1) == {"last_second": "none", "episode": "none", "steps": 0}


def test_nothing_is_compared_while_nobody_drives():
    watched = Demonstrator(RIG, STD)
    watched.compare(1.0, np.zeros(6), 1, STATE)
    watched.on_twist(1.0, *twist_of(np.zeros(6)))
    watched.compare(1.0 + 1.6 * RIG.period, np.zeros(6), 1, STATE)
    watched.on_twist(2.0, (np.nan, 0, 0), (0, 0, 0))
    watched.compare(2.0, np.zeros(6), 1, STATE)
    assert watched.values(2.0)["steps"] == 0


def test_without_training_data_the_deviation_is_that_of_the_persons_actions():
    watched, rng = Demonstrator(RIG, None), np.random.default_rng(0)
    for step in range(30):
        assert step >= 20 or watched.values(step * 0.1)["episode"] == "none"
        delta = rng.normal(0, 0.3, 6)
        watched.on_twist(step * 0.1, *twist_of(delta))
        watched.compare(step * 0.1, delta + 0.3, 1, STATE)
    assert watched.values(3.0)["episode"] == pytest.approx(np.sqrt(6 / 7), rel=0.3)
