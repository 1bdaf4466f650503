"""Appearances change the image and nothing else, and can be removed completely."""

import dataclasses

import numpy as np
import pytest

from gr1_core.sim import Renderer, Twin, appearance
from gr1_core.sim.appearance import STANDARD_APPEARANCE, Appearance, CameraOffset


@pytest.fixture(scope="module")
def state():
    twin = Twin()
    twin.reset("pick_broccoli", 5)
    return twin.state()


@pytest.fixture(scope="module", params=["static", "wrist"])
def renderer(request):
    with Renderer(request.param, 64, 64) as made:
        yield made


def test_the_standard_appearance_restores_the_scene(renderer, state):
    before = renderer.render(state)
    images = []
    for seed in range(4):
        renderer.set_appearance(appearance.sample_appearance(np.random.default_rng(seed)))
        images.append(renderer.render(state))
    assert all(np.abs(image.astype(int) - before).mean() > 5 for image in images)
    renderer.set_appearance(STANDARD_APPEARANCE)
    np.testing.assert_array_equal(renderer.render(state), before)


def test_an_appearance_does_not_depend_on_the_one_before(renderer, state):
    first, second = (appearance.sample_appearance(np.random.default_rng(seed)) for seed in (7, 8))
    renderer.set_appearance(first)
    expected = renderer.render(state)
    renderer.set_appearance(second)
    renderer.set_appearance(first)
    np.testing.assert_array_equal(renderer.render(state), expected)
    renderer.set_appearance(STANDARD_APPEARANCE)


@pytest.mark.parametrize(
    "change",
    [
        {"shadows": False},
        {"key_direction": (-0.5, 0.3, -1.0)},
        {"ambient": 0.7},
        {"fill": 0.2},
        {"table": (0.6, 0.6, 0.6)},
    ]
    + [
        {"wood": False, "table": (0.3, 0.4, 0.6)},
        {"plate": (0.2, 0.2, 0.9)},
        {"static": CameraOffset((0.015, 0.0, 0.0)), "wrist": CameraOffset((0.004, 0.0, 0.0))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_an_appearance_changes_the_image(renderer, state, change):
    before = renderer.render(state)
    renderer.set_appearance(dataclasses.replace(STANDARD_APPEARANCE, **change))
    after = renderer.render(state)
    renderer.set_appearance(STANDARD_APPEARANCE)
    assert (after != before).any()


def test_pose_and_intrinsics_follow_the_camera(renderer, state):
    pose, focal = renderer.pose(state), renderer.intrinsics[0, 0]
    offset = CameraOffset((0.01, 0.0, 0.0), (0.0, 0.0, 0.02), 0.98)
    renderer.set_appearance(Appearance(static=offset, wrist=offset))
    moved, nearer = renderer.pose(state), renderer.intrinsics
    renderer.set_appearance(STANDARD_APPEARANCE)
    # The optical frame's x points to the right, as the camera's own does.
    np.testing.assert_allclose(
        pose.rotation.inv().apply(moved.position - pose.position), [0.01, 0.0, 0.0], atol=1e-9
    )
    assert (moved.rotation * pose.rotation.inv()).magnitude() == pytest.approx(0.02)
    assert 1.01 * focal < nearer[0, 0] == nearer[1, 1] < 1.04 * focal and nearer[0, 2] == 31.5


def test_sampled_appearances_stay_recognisable():
    sampled = [appearance.sample_appearance(np.random.default_rng(seed)) for seed in range(400)]
    assert sampled[3] == appearance.sample_appearance(np.random.default_rng(3)) and len(set(sampled)) == 400
    assert np.mean([one.shadows for one in sampled]) == pytest.approx(appearance.SHADOW_SHARE, abs=0.06)
    for one in sampled:
        assert np.linalg.norm(one.static.shift) <= 0.015 and np.linalg.norm(one.wrist.shift) <= 0.004
        assert one.wood or np.linalg.norm(np.subtract(one.table, one.plate)) > 0.25, (
            "the plate must differ from the table"
        )
