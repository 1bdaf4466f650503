"""The clutch: what makes the arm follow, and what stops it."""

import math

import numpy as np
import pytest

from gr1_core.pose import Pose
from gr1_teleop import quaternion
from gr1_teleop.clutch import ENGAGED, OPEN, WAITING

from .operator import DOWN, Operator, moved, settle, still


@pytest.mark.parametrize(
    "cause", ["lost", "hidden", "recenter", "jump", "twist", "silence", "old", "blocked", "no pose"]
)
def test_each_cause_stops_the_arm_with_its_reason_and_the_squeeze_must_be_opened_before_it_moves_again(cause):
    operator, asked = Operator(), {}
    operator.grip()
    operator.step((0.03, 0, 0))
    if cause == "recenter":
        operator.clutch.recenter()
    operator.tracked, operator.visible = cause != "lost", cause != "hidden"
    operator.position = operator.position + (0.06 if cause == "jump" else 0.0)
    if cause == "twist":
        operator.orientation = quaternion.multiply(
            quaternion.from_rotation_vector((0, math.radians(40), 0)), operator.orientation
        )
    if cause == "silence":
        operator.wait(0.16)
    operator.age = 0.3 if cause == "old" else 0.0
    if cause == "blocked":
        asked = {"blocked": "the arm is stopped: emergency_stop"}
    if cause == "no pose":
        operator.arm = None
        command = operator.clutch.compute_command(operator.arm, operator.now)
        operator.arm = Pose(np.zeros(3), DOWN)
    else:
        command = operator.ask() if cause == "silence" else operator.step(frames=1, **asked)
    assert still(command) and not command.engaged
    words = {
        "lost": "sight",
        "recenter": "recentred",
        "blocked": "emergency_stop",
        "twist": "40 degrees",
        "jump": "jumped",
        "silence": "150 ms",
        "old": "300 ms",
        "no pose": "no usable pose",
    }
    (event,) = command.events
    assert (
        event.kind == "released" and words.get(cause, cause) in event.why and operator.clutch.why == event.why
    )

    operator.tracked = operator.visible = True
    operator.age = 0.0
    for _ in range(3):
        assert operator.step((0.02, 0, 0)) is None
    assert operator.clutch.state == WAITING
    assert operator.grip().engaged


def test_letting_go_stops_the_arm_once_and_the_next_squeeze_moves_it_again():
    operator = Operator()
    operator.grip()
    operator.step((0.04, 0, 0))
    operator.squeeze = 0.0
    operator.say()
    assert still(operator.clutch.pop_stop_command(operator.now)), "at once, not with the next period"
    assert operator.clutch.pop_stop_command(operator.now) is None and operator.step((0.04, 0, 0)) is None
    assert (operator.clutch.state, operator.clutch.why) == (OPEN, "released")
    operator.squeeze = 1.0
    assert operator.step().engaged


def test_a_squeeze_between_the_two_thresholds_keeps_what_it_was():
    operator = Operator()
    operator.step()
    for squeeze, state in [
        (0.6, OPEN),
        (0.71, ENGAGED),
        (0.45, ENGAGED),
        (0.6, ENGAGED),
        (0.39, OPEN),
        (0.65, OPEN),
        (0.7, ENGAGED),
    ]:
        operator.squeeze = squeeze
        operator.step()
        operator.step()
        assert operator.clutch.state == state


def test_silence_is_noticed_without_any_message():
    operator = Operator()
    operator.grip()
    operator.wait(0.149)
    assert operator.clutch.pop_stop_command(operator.now) is None
    operator.wait(0.002)
    assert still(operator.clutch.pop_stop_command(operator.now)) and operator.clutch.state == WAITING


def test_a_hand_that_comes_squeezed_does_not_move_the_arm():
    operator = Operator()
    operator.squeeze = 1.0
    assert operator.step((0.02, 0, 0)) is None and operator.clutch.state == WAITING
    operator.clutch.reset_for_device("headset")
    assert operator.step((0.02, 0, 0)) is None
    assert operator.grip().engaged


def test_a_squeeze_out_of_sight_is_refused_and_felt():
    operator = Operator()
    operator.step()
    operator.tracked, operator.squeeze = False, 1.0
    assert operator.step() is None
    assert operator.events[-1].kind == "refused" and "sight" in operator.clutch.why
    operator.tracked = True
    assert operator.step() is None, "it was pressed blindly: once more, please"


def test_a_squeeze_that_is_let_go_before_the_first_command_sends_nothing():
    operator = Operator()
    operator.step()
    operator.say(squeeze=1.0)
    operator.say(squeeze=0.0)
    assert operator.ask() is None and operator.events == []


def test_the_page_may_pass_from_one_hand_to_the_other_with_the_press_itself():
    operator = Operator()
    operator.step()
    operator.hand, operator.squeeze, operator.position = "left", 1.0, operator.position - 0.4
    assert operator.step().engaged
    start = operator.arm
    operator.step((0, 0.02, 0))
    settle(operator)
    assert moved(operator, start)[2] == pytest.approx(0.016, abs=3e-4)


def test_while_one_hand_moves_the_arm_the_other_has_no_say():
    operator = Operator()
    operator.grip()
    operator.say(hand="left", squeeze=0.0, position=(1.0, 1.0, 1.0))
    operator.say(hand="left", squeeze=1.0, position=(1.0, 1.0, 1.0))
    assert operator.events[-1].kind == "refused" and operator.step().engaged
    operator.squeeze = 0.0
    operator.say()
    operator.say(hand="left", squeeze=1.0, position=(1.0, 1.0, 1.0))
    assert not operator.ask().engaged and operator.clutch.state == WAITING, "it must be opened first"
