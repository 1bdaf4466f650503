"""Which samples may be used, and the reasons for others. Times are seconds; both clocks start at 0."""

import math

import numpy as np
import pytest

from gr1_core import Rig
from gr1_policy import checks
from gr1_policy.inputs import CAMERAS, KEPT, STREAMS, Inputs, is_newer

DOWN = np.array([1.0, 0.0, 0.0, 0.0])
RNG = np.random.default_rng(0)


def random_image():
    return RNG.integers(0, 255, (12, 16, 3), np.uint8)


def pose(x=0.4, quaternion=DOWN):
    return np.array([x, 0.0, 0.2]), quaternion


@pytest.fixture
def inputs():
    return Inputs(dict.fromkeys(STREAMS, 0.15), 0.075)


def feed(inputs, now, static=0.0, wrist=0.0, x=0.4, image=None):
    """Every stream at `now`; static, wrist: s by which that camera's frame was taken earlier."""
    inputs.add_sample("arm", now, now, pose(x))
    inputs.add_sample("gripper", now, now, 0.0)
    for name, earlier in (("static", static), ("wrist", wrist)):
        inputs.add_sample(
            name, now - earlier, now, random_image() if image is None or name == "wrist" else image
        )


def test_fresh_streams_have_no_fault(inputs):
    assert inputs.fault(0.0, 0.0) == "static camera: nothing received yet"
    feed(inputs, 1.0)
    assert inputs.fault(1.1, 1.1) == ""


@pytest.mark.parametrize(
    "now, steady, said",
    [(1.2, 1.0, "within 150 ms"), (1.0, 1.2, "within 150 ms"), (0.8, 1.0, "in the future")],
)
def test_a_sample_must_be_young_on_both_clocks(inputs, now, steady, said):
    feed(inputs, 1.0)
    assert said in inputs.fault(now, steady) and inputs.fault(now, steady).startswith("static camera: ")


def test_of_cameras_that_run_freely_the_newest_frames_that_belong_together_are_taken(inputs):
    for stamp in (0.00, 0.05, 0.10, 0.15):
        inputs.add_sample("static", stamp, stamp, random_image())
    inputs.add_sample("wrist", 0.06, 0.07, random_image())
    pair = inputs.pair()
    assert (pair["static"].stamp, pair["wrist"].stamp) == (0.10, 0.06)


def test_the_pair_is_the_newest_of_all_that_are_within_the_skew(inputs):
    for trial in range(200):
        inputs = Inputs(dict.fromkeys(STREAMS, 0.15), 0.03)
        times = {
            name: np.cumsum(RNG.uniform(0.01, 0.1, KEPT[name])) + RNG.uniform(0, 0.1) for name in CAMERAS
        }
        for name, stamps in times.items():
            for stamp in stamps:
                inputs.add_sample(name, stamp, stamp, random_image())
        best = max(
            (min(a, b) for a in times["static"] for b in times["wrist"] if abs(a - b) <= 0.03), default=None
        )
        pair = inputs.pair()
        assert (min(sample.stamp for sample in pair.values()) if pair else None) == best, trial


def test_cameras_whose_frames_never_belong_together_are_both_named(inputs):
    for number in range(10):
        feed(inputs, 0.3 * number, static=0.1)
    now = 0.3 * 9
    assert not inputs.pair()
    said = inputs.fault(now, now)
    assert "static camera and wrist camera" in said and "100 ms apart" in said and "75 ms" in said


def test_arm_and_gripper_of_a_step_are_those_of_the_older_image_however_late_it_comes(inputs):
    for number in range(20):
        now = 0.01 * number
        inputs.add_sample("arm", now, now, pose(x=0.4 + now))
        inputs.add_sample("gripper", now, now, float(number > 8))
    assert inputs.step_input() == {}
    inputs.add_sample("static", 0.085, 0.19, random_image())
    inputs.add_sample("wrist", 0.125, 0.19, random_image())
    seen = inputs.step_input()
    assert {name: sample.stamp for name, sample in seen.items()} == {
        "static": 0.085,
        "wrist": 0.125,
        "arm": 0.08,
        "gripper": 0.08,
    }
    assert seen["arm"].value[0][0] == pytest.approx(0.48) and seen["gripper"].value == 0.0


def test_images_older_than_every_pose_go_with_the_oldest_one(inputs):
    for name in CAMERAS:
        inputs.add_sample(name, 0.0, 0.02, random_image())
    for now in (0.01, 0.02):
        inputs.add_sample("arm", now, now, pose(x=now))
        inputs.add_sample("gripper", now, now, 0.0)
    assert inputs.step_input()["arm"].stamp == 0.01


def test_a_step_waits_for_a_pair_that_is_newer_on_both_sides(inputs):
    feed(inputs, 1.0)
    used = {name: sample.stamp for name, sample in inputs.pair().items()}
    inputs.add_sample("static", 1.05, 1.05, random_image())
    assert not is_newer(inputs.pair(), used) and not inputs.await_new_pair(used, 0.0)
    inputs.add_sample("wrist", 1.06, 1.06, random_image())
    assert inputs.await_new_pair(used, 0.0)


def test_an_image_may_repeat_itself_while_nothing_moves(inputs):
    image = random_image()
    for number in range(20):
        feed(inputs, 0.05 * number, image=image)
    assert inputs.fault(0.95, 0.95) == ""


def test_an_image_that_stays_the_same_while_the_arm_moves_is_a_frozen_camera_until_another_comes(inputs):
    image = random_image()
    for number in range(7):
        feed(inputs, 0.05 * number, x=0.4 + 0.0012 * number, image=image.copy())
    assert (
        inputs.fault(0.3, 0.3)
        == "static camera: the image has not changed while the arm moved 6 mm: the camera is frozen"
    )
    for number in range(7, 30):  # the arm rests now, where it was or back where it came from
        feed(inputs, 0.05 * number, x=0.4, image=image.copy())
    assert "6 mm: the camera is frozen" in inputs.fault(1.45, 1.45)
    feed(inputs, 1.5, image=random_image())
    assert inputs.fault(1.5, 1.5) == ""


def test_a_hand_that_turns_shows_a_frozen_camera_too(inputs):
    image = random_image()
    for number in range(8):
        now, half = 0.05 * number, 0.005 * number
        inputs.add_sample(
            "arm", now, now, pose(quaternion=np.array([math.cos(half), math.sin(half), 0.0, 0.0]))
        )
        inputs.add_sample("gripper", now, now, 0.0)
        inputs.add_sample("wrist", now, now, image.copy())
        inputs.add_sample("static", now, now, random_image())
    assert inputs.fault(0.35, 0.35).startswith(
        "wrist camera: the image has not changed while the hand turned by 3 degrees"
    )


def test_what_counts_is_where_the_arm_was_when_the_image_was_taken(inputs):
    """Two equal frames of an arm at rest, the second one late: the arm has begun to move before it comes."""
    image = random_image()
    feed(inputs, 0.0, image=image)
    for number in range(1, 11):
        inputs.add_sample("arm", 0.01 * number, 0.01 * number, pose(0.4 if number < 6 else 0.41))
    inputs.add_sample("static", 0.05, 0.1, image.copy())
    feed(inputs, 0.1, x=0.41)
    assert inputs.fault(0.1, 0.1) == ""


def test_a_value_that_was_refused_is_named_until_only_good_ones_come(inputs):
    feed(inputs, 1.0)
    inputs.refuse_sample("arm", 1.0, "the position (nan, 0, 0) is not finite")
    feed(inputs, 1.1)
    assert inputs.fault(1.1, 1.1) == "arm/pose: the position (nan, 0, 0) is not finite"
    feed(inputs, 1.2)
    assert inputs.fault(1.2, 1.2) == ""


LIMITS = Rig.load("kinova_gen2").limits


@pytest.mark.parametrize(
    "position, quaternion, said",
    [
        ((math.nan, 0, 0.2), DOWN, "position (nan, 0, 0.2) is not finite"),
        ((0.4, math.inf, 0.2), DOWN, "not finite"),
        ((0.4, 0, 0.2), (math.nan, 0, 0, 1), "orientation"),
        ((0.4, 0, 0.2), (0, 0, 0, 0), "not a unit quaternion"),
        ((0.4, 0, 0.2), (1, 1, 0, 0), "not a unit quaternion"),
        ((450.0, 0, 200.0), DOWN, "wrong units or another base frame"),
    ],
)
def test_a_pose_that_cannot_be_is_named(position, quaternion, said):
    assert said in checks.check_pose(position, quaternion, LIMITS)


def test_poses_of_an_arm_that_was_led_by_hand_are_accepted():
    assert (
        checks.check_pose(LIMITS.workspace_max, DOWN, LIMITS) == ""
        and checks.check_pose((0.7, 0.5, 0.8), DOWN, LIMITS) == ""
    )


@pytest.mark.parametrize(
    "value, accepted",
    [(0.0, True), (1.0, True), (math.nan, True), (math.inf, False), (-0.5, False), (45.0, False)],
)
def test_a_gripper_command_is_between_open_and_closed_or_not_given_yet(value, accepted):
    assert (checks.check_closure(value) == "") == accepted


def test_a_rig_with_one_camera_has_pairs_of_one_frame():
    inputs = Inputs({"static": 0.15, "arm": 0.15, "gripper": 0.15}, 0.075)
    assert inputs.fault(0.0, 0.0).startswith("static camera: nothing received yet") and inputs.pair() == {}
    frame = np.zeros((4, 4, 3), np.uint8)
    inputs.add_sample("arm", 1.0, 1.0, (np.zeros(3), np.array([0, 0, 0, 1.0])))
    inputs.add_sample("gripper", 1.0, 1.0, 0.0)
    inputs.add_sample("static", 1.0, 1.0, frame)
    assert inputs.fault(1.05, 1.05) == "" and set(inputs.pair()) == {"static"}
    assert set(inputs.step_input()) == {"static", "arm", "gripper"}
    assert is_newer(inputs.pair(), {}) and not is_newer(inputs.pair(), {"static": 1.0})
    assert inputs.fault(1.3, 1.3).startswith("static camera: nothing new within 150 ms")
