"""The one-euro filter: a resting hand is calm, a moving one is not held up, and nothing breaks it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr1_teleop import quaternion
from gr1_teleop.clutch_settings import ClutchSettings
from gr1_teleop.filters import OneEuroSettings, PositionFilter, RotationFilter

POSITION, ORIENTATION = ClutchSettings().position, ClutchSettings().orientation
FRAME_S = 1 / 72
TIMES = np.arange(0.0, 2.0, FRAME_S)
AXIS = np.array([0.6, 0.0, -0.8])


def test_a_resting_hand_trembles_less_than_half_as_much():
    random = np.random.default_rng(1)
    smooth, raw = PositionFilter(POSITION), random.normal(0.0, 5e-4, (len(TIMES), 3))
    out = np.array([smooth(value, t) for value, t in zip(raw, TIMES)])[20:]
    assert out.std() < 0.5 * raw.std()
    smooth, raw = RotationFilter(ORIENTATION), random.normal(0.0, 5e-3, (len(TIMES), 3))
    out = np.array(
        [
            quaternion.to_rotation_vector(smooth(quaternion.from_rotation_vector(value), t))
            for value, t in zip(raw, TIMES)
        ]
    )[20:]
    assert out.std() < 0.5 * raw.std()


def test_a_moving_hand_is_followed_within_thirty_milliseconds():
    smooth = PositionFilter(POSITION)
    out = [smooth(0.15 * t * AXIS, t) for t in TIMES]
    assert np.linalg.norm(0.15 * TIMES[-1] * AXIS - out[-1]) < 0.15 * 0.03
    smooth = RotationFilter(ORIENTATION)
    out = [smooth(quaternion.from_rotation_vector(1.5 * t * AXIS), t) for t in TIMES]
    assert (
        np.linalg.norm(
            quaternion.rotation_between(out[-1], quaternion.from_rotation_vector(1.5 * TIMES[-1] * AXIS))
        )
        < 1.5 * 0.03
    )


def test_a_path_keeps_its_shape():
    smooth = PositionFilter(POSITION)
    out = np.array([smooth(math.sin(3 * t) * AXIS, t) for t in TIMES])
    assert np.abs(np.cross(out, AXIS)).max() < 1e-12


def test_a_quaternion_and_its_negative_are_the_same_orientation():
    one, other = RotationFilter(ORIENTATION), RotationFilter(ORIENTATION)
    for index, t in enumerate(TIMES[:30]):
        q = quaternion.from_rotation_vector(t * AXIS)
        assert np.allclose(
            quaternion.rotation_between(one(q, t), other(q if index % 2 else -q, t)), 0.0, atol=1e-12
        )


def test_the_first_value_passes_and_so_does_the_first_after_a_reset():
    smooth = PositionFilter(POSITION)
    assert (smooth((1, 2, 3), 0.0) == (1, 2, 3)).all()
    smooth((2, 2, 2), 0.01)
    smooth.reset()
    assert (smooth((5, 5, 5), 0.02) == (5, 5, 5)).all()


times = st.lists(
    st.sampled_from([0.0, 1e-300, 1e-9, 1e-4, 0.011, 0.014, 5.0, 1e9, -1.0]), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(times, st.randoms(use_true_random=False))
def test_whatever_the_clock_does_the_output_is_finite_and_between_what_came_in(steps, random):
    position, rotation, t, seen = PositionFilter(POSITION), RotationFilter(ORIENTATION), 0.0, []
    for step in steps:
        t += step
        value = [random.uniform(-1, 1) for _ in range(3)]
        seen.append(value)
        out = position(value, t)
        assert (out >= np.min(seen, 0) - 1e-9).all() and (out <= np.max(seen, 0) + 1e-9).all()
        q = rotation(quaternion.from_rotation_vector(np.multiply(value, 3)), t)
        assert math.hypot(*q) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("wrong", [{"min_cutoff": 0.0}, {"beta": math.nan}, {"derivative_cutoff": math.inf}])
def test_a_smoothing_that_cannot_be_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OneEuroSettings(**{"min_cutoff": 1.0, "beta": 1.0, "derivative_cutoff": 1.0} | wrong)


rotations = st.tuples(*[st.floats(-3.0, 3.0)] * 3)


@settings(max_examples=60, deadline=None)
@given(rotations, rotations)
def test_quaternions_agree_with_scipys(one, other):
    from scipy.spatial.transform import Rotation

    a, b = Rotation.from_rotvec(one), Rotation.from_rotvec(other)
    p, q = quaternion.from_rotation_vector(one), quaternion.from_rotation_vector(other)
    assert np.allclose(
        quaternion.rotate(quaternion.multiply(p, q), (1, 2, 3)), (a * b).apply((1, 2, 3)), atol=1e-9
    )
    assert np.linalg.norm(quaternion.rotation_between(p, q)) == pytest.approx(
        (b * a.inv()).magnitude(), abs=1e-6
    )
    assert np.allclose(
        quaternion.rotate(
            quaternion.from_rotation_vector(quaternion.rotation_between(p, q)), a.apply((1, 2, 3))
        ),
        b.apply((1, 2, 3)),
        atol=1e-6,
    )
