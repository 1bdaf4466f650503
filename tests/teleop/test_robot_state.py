"""What the teleoperation node makes of the arm's topics."""

import math

import pytest

from gr1_teleop.robot_state import (
    EVALUATION_TIMEOUT_S,
    POLICY_TIMEOUT_S,
    WANTED_S,
    RobotState,
    closure_of,
)
from gr1_teleop.topic_monitor import TopicMonitor


@pytest.mark.parametrize(
    "fingers, closure",
    [
        ({"closure": 0.62, "closure_command": 1.0}, 1.0),
        ({"closure": 0.62, "closure_command": math.nan}, 0.62),
        ({"closure": 0.62}, 0.62),
    ],
)
def test_fingers_that_nobody_has_told_anything_are_taken_as_they_are(fingers, closure):
    assert closure_of(fingers) == closure


def test_fingers_that_say_nothing_are_not_known():
    assert math.isnan(closure_of({}))


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def robot(clock) -> RobotState:
    return RobotState(0.5, [TopicMonitor("camera/static/image_raw/compressed", 15.0, 0.2, clock.now)], clock)


def test_a_policy_is_told_with_its_figures_until_it_has_been_silent(robot, clock):
    assert robot.status()["policy"] == {}
    robot.set_policy("step", 0, "running", {"rate_hz": "9.9", "inference_p50_ms": "41.0"})
    robot.set_policy("prediction", 2, "the image differs", {"score_static": "1.4", "score_wrist": "none"})
    policy = robot.status()["policy"]
    assert policy == {
        "message": "the image differs",
        "level": 2,
        "rate_hz": 9.9,
        "inference_p50_ms": 41.0,
        "score_static": 1.4,
    }
    clock.now += POLICY_TIMEOUT_S + 0.1
    assert robot.status()["policy"] == {}


def test_predicted_frames_are_wanted_for_a_while_after_a_page_has_asked(robot, clock):
    assert not robot.predicted_wanted
    robot.want_predicted()
    assert robot.predicted_wanted
    clock.now += WANTED_S + 0.1
    assert not robot.predicted_wanted


def test_a_rate_has_one_figure(robot):
    """The recorder's own measure of a monitored topic is left out; its other problems are not."""
    robot.set_recorder('{"state": "recording", "bag": "a"}')
    robot.set_recording_problem(
        "camera/static/image_raw/compressed: 7.1 Hz instead of 15; arm/pose: nothing for 0.3 s"
    )
    assert robot.status()["warnings"] == ["arm/pose: nothing for 0.3 s"]


def test_a_call_of_the_policy_is_a_warning_with_its_image_until_it_ends(robot, clock):
    robot.set_policy("step", 0, "running", {})
    robot.set_call_image(b"jpeg")
    assert "call" not in robot.camera_images()
    call = {"number": 1, "state": "calling", "reason": "static camera: the image differs"}
    robot.set_call(call)
    assert robot.status()["policy"]["call"] == call and robot.camera_images()["call"] == b"jpeg"
    assert robot.status()["warnings"] == [
        "the policy calls, grip to take over or confirm: static camera: the image differs"
    ]
    robot.set_call(call | {"state": "confirmed"})
    assert "call" not in robot.status()["policy"] and not robot.status()["warnings"]
    robot.set_call(call)
    clock.now += POLICY_TIMEOUT_S + 0.1
    assert not robot.status()["warnings"]


def test_an_evaluation_is_told_with_its_start_scene_until_it_is_over_or_silent(robot, clock):
    assert "evaluation" not in robot.status()
    arranging = {"phase": "arrange", "pair": 1, "overlay": True}
    robot.set_start_scene(b"jpeg")
    robot.set_evaluation(arranging)
    assert robot.status()["evaluation"] == arranging and robot.camera_images()["start_scene"] == b"jpeg"
    robot.set_evaluation({"phase": "running", "overlay": False})
    assert "start_scene" not in robot.camera_images()
    robot.set_evaluation({"phase": "over"})
    assert not robot.evaluation
    robot.set_evaluation({"phase": "load"})
    clock.now += 60.0  # a large checkpoint takes its time
    assert robot.evaluation
    robot.set_evaluation(arranging)
    clock.now += EVALUATION_TIMEOUT_S + 0.1
    assert not robot.evaluation and "start_scene" not in robot.camera_images()
