"""Looks: they change the picture and nothing else, and are taken off again without a trace."""

import dataclasses

import numpy as np
import pytest

from gr1_core.sim import Renderer, Twin, appearance
from gr1_core.sim.appearance import STANDARD, Look, Offset


@pytest.fixture(scope="module")
def state():
    twin = Twin()
    twin.reset("pick_broccoli", 5)
    return twin.state()


@pytest.fixture(scope="module", params=["static", "wrist"])
def renderer(request):
    with Renderer(request.param, 64, 64) as made:
        yield made


def test_a_look_is_taken_off_without_a_trace(renderer, state):
    before = renderer.render(state)
    drawn = []
    for seed in range(4):
        renderer.look(appearance.random(np.random.default_rng(seed)))
        drawn.append(renderer.render(state))
    assert all(np.abs(picture.astype(int) - before).mean() > 5 for picture in drawn)
    renderer.look(STANDARD)
    np.testing.assert_array_equal(renderer.render(state), before)


def test_a_look_does_not_depend_on_the_one_before(renderer, state):
    first, second = (appearance.random(np.random.default_rng(seed)) for seed in (7, 8))
    renderer.look(first)
    wanted = renderer.render(state)
    renderer.look(second)
    renderer.look(first)
    np.testing.assert_array_equal(renderer.render(state), wanted)
    renderer.look(STANDARD)


@pytest.mark.parametrize(
    "change",
    [
        {"shadows": False},
        {"key": (-0.5, 0.3, -1.0)},
        {"ambient": 0.7},
        {"fill": 0.2},
        {"table": (0.6, 0.6, 0.6)},
    ]
    + [
        {"wood": False, "table": (0.3, 0.4, 0.6)},
        {"plate": (0.2, 0.2, 0.9)},
        {"static": Offset((0.015, 0.0, 0.0)), "wrist": Offset((0.004, 0.0, 0.0))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_look_shows(renderer, state, change):
    before = renderer.render(state)
    renderer.look(dataclasses.replace(STANDARD, **change))
    after = renderer.render(state)
    renderer.look(STANDARD)
    assert (after != before).any()


def test_pose_and_intrinsics_follow_the_camera(renderer, state):
    pose, focal = renderer.pose(state), renderer.intrinsics[0, 0]
    offset = Offset((0.01, 0.0, 0.0), (0.0, 0.0, 0.02), 0.98)
    renderer.look(Look(static=offset, wrist=offset))
    moved, nearer = renderer.pose(state), renderer.intrinsics
    renderer.look(STANDARD)
    # The optical frame's x points to the right, as the camera's own does.
    np.testing.assert_allclose(
        pose.rotation.inv().apply(moved.position - pose.position), [0.01, 0.0, 0.0], atol=1e-9
    )
    assert (moved.rotation * pose.rotation.inv()).magnitude() == pytest.approx(0.02)
    assert 1.01 * focal < nearer[0, 0] == nearer[1, 1] < 1.04 * focal and nearer[0, 2] == 31.5


def test_random_looks_stay_within_what_can_be_recognised():
    looks = [appearance.random(np.random.default_rng(seed)) for seed in range(400)]
    assert looks[3] == appearance.random(np.random.default_rng(3)) and len(set(looks)) == 400
    assert np.mean([one.shadows for one in looks]) == pytest.approx(appearance.SHADOWS, abs=0.06)
    for one in looks:
        assert np.linalg.norm(one.static.shift) <= 0.015 and np.linalg.norm(one.wrist.shift) <= 0.004
        assert one.wood or np.linalg.norm(np.subtract(one.table, one.plate)) > 0.25, (
            "a plate that cannot be told from the table"
        )
