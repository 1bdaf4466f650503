"""The clutch's promises: who moves the arm, where to, how fast, and when it stops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr1_robot.backend import ArmState, Pose
from gr1_robot.gate import TICK, Gate
from gr1_teleop import quaternion
from gr1_teleop.clutch import ENGAGED, OPEN, WAITING
from gr1_teleop.settings import Settings

from .operator import DOWN, LIMITS, PERIOD, Operator


def moved(operator, since):
    return operator.arm.position - since.position


def turned(operator, since):
    return quaternion.between(since.quaternion, operator.arm.quaternion)


def still(command):
    return not command.linear.any() and not command.angular.any()


def settle(operator, steps=20):
    for _ in range(steps):
        operator.step()


# Whatever the operator does

shares = st.floats(-1.0, 1.0)
troubles = ["let go", "half", "lost", "hidden", "recenter", "jump", "silence", "stick"]
troubles += ["other hand", "old", "policy", "blocked", "gone", "no pose"]
happenings = st.sampled_from(["move"] * 10 + ["grip"] * 4 + troubles)
stories = st.lists(st.tuples(happenings, shares, shares), min_size=10, max_size=60)


def live(operator, what, a, b):
    """One thing that happens to an operator, in one control period; returns what is commanded."""
    asked = {}
    operator.tracked = operator.visible = True
    operator.stick, operator.age = what == "stick", 0.3 if what == "old" else 0.0
    if what == "grip":
        operator.squeeze = 0.0
        operator.step(frames=2)
        operator.squeeze = 1.0
    elif what in ("let go", "half"):
        operator.squeeze = 0.0 if what == "let go" else 0.5 + 0.4 * a
    elif what in ("lost", "hidden"):
        operator.tracked, operator.visible = what != "lost", what != "hidden"
    elif what == "recenter":
        operator.clutch.recenter()
    elif what == "jump":
        operator.position = operator.position + (a, 0, b)
    elif what == "silence":
        operator.wait(0.2 + abs(a))
    elif what == "other hand":
        operator.hand = "left" if operator.hand == "right" else "right"
    elif what == "policy":
        operator.arm = Pose(operator.arm.position + 0.2 * a, quaternion.times(quaternion.from_vector((0, b, 0)), operator.arm.quaternion))
    elif what == "blocked":
        asked = {"blocked": "emergency stop"}
    elif what == "gone":
        operator.clutch.begin("headset")
    elif what == "no pose":
        operator.arm, kept = Pose(np.full(3, math.nan), DOWN), operator.arm
        command = operator.step(frames=2)
        operator.arm = kept
        return command
    return operator.step((0.08 * a, 0.03 * b, 0.06 * b), (0, 0.8 * a, 0.5 * b), frames=2, **asked)


@settings(max_examples=150, deadline=None)
@given(stories)
def test_whatever_the_operator_does_commands_are_finite_and_limited_and_each_engagement_begins_where_the_arm_is(story):
    operator, before, engaged = Operator(), 0, False
    for what, a, b in story:
        command = live(operator, what, a, b)
        if command is None:
            assert operator.clutch.state != ENGAGED
        else:
            assert np.isfinite(command.linear).all() and np.isfinite(command.angular).all() and 0.0 <= command.closure <= 1.0
            assert math.hypot(*command.linear) <= LIMITS.linear_speed and math.hypot(*command.angular) <= LIMITS.angular_speed
            assert command.engaged == (operator.clutch.state == ENGAGED)
            if not command.engaged:
                assert still(command)
                assert operator.clutch.halt(operator.now) is None and operator.ask() is None
            elif "engaged" in [event.kind for event in command.events]:
                assert still(command)
                again = operator.ask()
                assert np.abs([again.linear, again.angular]).max() < 1e-9
            if command.engaged:
                assert operator.squeeze > 0.4 and operator.tracked and operator.visible and what not in ("blocked", "no pose", "old")
        kinds = [event.kind for event in operator.events[before:] if event.kind in ("engaged", "released")]
        before = len(operator.events)
        for kind in kinds:
            assert (kind == "engaged") != engaged  # they alternate
            engaged = kind == "engaged"
        assert engaged == (operator.clutch.state == ENGAGED)


# Where the arm goes


@pytest.mark.parametrize(("hand", "arm"), [((0, 0, -1), (1, 0, 0)), ((-1, 0, 0), (0, 1, 0)), ((0, 1, 0), (0, 0, 1))])
def test_ahead_left_and_up_of_the_hand_are_x_y_and_z_of_the_arm_for_motion_and_for_rotation(hand, arm):
    operator = Operator(scale=0.5)
    operator.orientation = quaternion.from_vector((0.4, -1.0, 2.0))  # however the controller is held
    operator.grip()
    start = operator.arm
    operator.step(0.1 * np.array(hand), 0.3 * np.array(hand))
    settle(operator)
    assert np.allclose(moved(operator, start), 0.05 * np.array(arm), atol=5e-4)
    assert np.allclose(turned(operator, start), 0.3 * np.array(arm), atol=3e-3)


@pytest.mark.parametrize("yaw", [0.5, -2.0, math.pi])
def test_forward_is_where_the_hand_points_when_the_stick_is_pressed_and_only_about_the_vertical(yaw):
    # A grip's own -z and -y lie to both sides of where its controller points: held level, the grip leans back by 45 degrees.
    level = quaternion.times(quaternion.from_vector((0, yaw, 0)), quaternion.from_vector((math.pi / 4, 0, 0)))
    pitched = quaternion.times(quaternion.from_vector((0, yaw, 0)), quaternion.from_vector((math.pi / 4 + 0.6, 0, 0)))
    for orientation in (level, pitched):
        operator = Operator()
        operator.orientation = orientation
        operator.step()
        operator.stick = True
        operator.step()
        assert operator.events[-1].kind == "forward"
        operator.grip()
        start = operator.arm
        operator.step(0.05 * np.array([-math.sin(yaw), 0.2, -math.cos(yaw)]))
        settle(operator)
        assert np.allclose(moved(operator, start), (0.04, 0, 0.008), atol=5e-4)


def test_forward_is_refused_to_a_hand_that_points_up_and_never_changes_while_the_arm_follows():
    operator = Operator()
    operator.orientation = quaternion.from_vector((math.pi * 0.75, 0, 0))
    operator.step()
    operator.stick = True
    operator.step()
    assert operator.events[-1].kind == "refused" and operator.clutch.forward == 0.0
    operator.stick, operator.orientation = False, quaternion.from_vector((math.pi / 4, 1.0, 0))
    operator.wait(0.2)
    operator.grip()
    operator.stick = True
    operator.step()
    assert operator.clutch.state == ENGAGED and operator.clutch.forward == 0.0


def test_a_phone_points_with_its_camera_or_with_its_top():
    for pitch in (0.0, -math.pi / 2):  # upright; flat, the screen up
        operator = Operator()
        operator.clutch.begin("phone")
        operator.orientation = quaternion.times(quaternion.from_vector((0, 0.7, 0)), quaternion.from_vector((pitch, 0, 0)))
        operator.step()
        operator.stick = True
        operator.step()
        assert operator.clutch.forward == pytest.approx(-0.7)


def test_rotation_can_be_left_out():
    operator = Operator(rotation=False)
    operator.grip()
    start = operator.arm
    operator.step((0, 0.04, 0), (0, 0.5, 0))
    settle(operator)
    assert not turned(operator, start).any() and moved(operator, start)[2] > 0.03


def test_after_each_clutch_the_arm_goes_on_from_where_it_was_left_wherever_the_hand_is():
    operator = Operator(scale=1.0)
    start = operator.arm
    for _ in range(3):
        operator.grip()
        for _ in range(3):
            operator.step((0, 0.03, 0))
        settle(operator)
        operator.squeeze = 0.0
        for _ in range(3):
            operator.step((0.05, -0.03, 0))  # the hand goes back, the arm does not
    assert np.allclose(moved(operator, start), (0, 0, 0.27), atol=1e-3)


# How fast


def test_a_hand_that_is_faster_than_the_arm_draws_it_at_the_limit_and_the_arm_stops_soon_after_it():
    operator = Operator(scale=1.0)
    operator.grip()
    for _ in range(10):
        command = operator.step((0.15, 0, 0))
    assert math.hypot(*command.linear) == pytest.approx(LIMITS.linear_speed) and math.hypot(*command.linear) <= LIMITS.linear_speed
    stopped = operator.arm
    settle(operator, 30)
    assert math.hypot(*moved(operator, stopped)) <= Settings().lead + 1e-6
    assert math.hypot(*operator.step().linear) < 1e-3


def test_a_hand_that_turns_back_turns_the_arm_back_at_once_also_at_a_wall():
    operator = Operator()
    operator.grip()
    wall = operator.arm
    for _ in range(10):
        operator.step((0, 0.1, 0))
        operator.arm = wall  # the gate lets nothing through
    for _ in range(5):
        command = operator.step((0, -0.05, 0))
        operator.arm = wall
    assert command.linear[2] < 0


def test_speeds_can_be_set_lower_than_the_rigs_but_not_higher():
    slow, fast = Operator(max_linear=0.05), Operator(max_linear=9.0)
    for operator, most in ((slow, 0.05), (fast, LIMITS.linear_speed)):
        operator.grip()
        operator.step((0.15, 0, 0))
        assert math.hypot(*operator.step((0.15, 0, 0)).linear) == pytest.approx(most)


@pytest.mark.parametrize("late", [0, 3])
def test_behind_the_gates_ramp_the_arm_comes_to_its_goal_and_not_past_it(late):
    operator, limits = Operator(scale=1.0), LIMITS
    gate, trail, now = Gate(limits, PERIOD, True, np.zeros((0, 2))), [operator.arm] * 4, 0.0
    operator.grip()
    positions = []
    for period in range(20):
        operator.arm = trail[-1 - late]
        command = operator.step((0, 0, -0.1) if period == 0 else (0, 0, 0))
        gate.command("teleop", command.linear, command.angular, now)
        for _ in range(round(PERIOD / TICK)):
            pose = trail[-1]
            motion = gate.tick(now, ArmState(pose, pose, np.zeros(0), np.zeros(0), 0.0, now))
            trail.append(Pose(pose.position + motion.linear * TICK, DOWN))
            positions.append(trail[-1].position[0])
            now += TICK
    assert max(positions) < 0.5 + 1e-3 and positions[-1] == pytest.approx(0.5, abs=1e-3)


# When it stops


@pytest.mark.parametrize("cause", ["lost", "hidden", "recenter", "jump", "twist", "silence", "old", "blocked", "no pose"])
def test_each_cause_stops_the_arm_with_its_reason_and_the_squeeze_must_be_opened_before_it_moves_again(cause):
    operator, asked = Operator(), {}
    operator.grip()
    operator.step((0.03, 0, 0))
    if cause == "recenter":
        operator.clutch.recenter()
    operator.tracked, operator.visible = cause != "lost", cause != "hidden"
    operator.position = operator.position + (0.06 if cause == "jump" else 0.0)
    if cause == "twist":
        operator.orientation = quaternion.times(quaternion.from_vector((0, math.radians(40), 0)), operator.orientation)
    if cause == "silence":
        operator.wait(0.16)
    operator.age = 0.3 if cause == "old" else 0.0
    if cause == "blocked":
        asked = {"blocked": "the arm is stopped: emergency_stop"}
    if cause == "no pose":
        operator.arm = None
        command = operator.clutch.command(operator.arm, operator.now)
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
    assert event.kind == "released" and words.get(cause, cause) in event.why and operator.clutch.why == event.why

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
    assert still(operator.clutch.halt(operator.now)), "at once, not with the next period"
    assert operator.clutch.halt(operator.now) is None and operator.step((0.04, 0, 0)) is None
    assert (operator.clutch.state, operator.clutch.why) == (OPEN, "let go")
    operator.squeeze = 1.0
    assert operator.step().engaged


def test_a_squeeze_between_the_two_thresholds_keeps_what_it_was():
    operator = Operator()
    operator.step()
    for squeeze, state in [(0.6, OPEN), (0.71, ENGAGED), (0.45, ENGAGED), (0.6, ENGAGED), (0.39, OPEN), (0.65, OPEN), (0.7, ENGAGED)]:
        operator.squeeze = squeeze
        operator.step()
        operator.step()
        assert operator.clutch.state == state


def test_silence_is_noticed_without_any_message():
    operator = Operator()
    operator.grip()
    operator.wait(0.149)
    assert operator.clutch.halt(operator.now) is None
    operator.wait(0.002)
    assert still(operator.clutch.halt(operator.now)) and operator.clutch.state == WAITING


def test_a_hand_that_comes_squeezed_does_not_move_the_arm():
    operator = Operator()
    operator.squeeze = 1.0
    assert operator.step((0.02, 0, 0)) is None and operator.clutch.state == WAITING
    operator.clutch.begin("headset")
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


# The fingers


def test_the_trigger_is_the_closure_while_the_arm_follows():
    operator = Operator()
    operator.grip()
    for trigger in (0.0, 0.3, 1.0, 0.55):
        operator.trigger = trigger
        assert operator.step().closure == trigger


def test_fingers_that_hold_something_stay_closed_until_the_trigger_takes_them_over():
    operator = Operator()
    operator.closure = 1.0  # a policy has grasped
    assert operator.grip().closure == 1.0 and operator.clutch.gripper_waits
    operator.trigger = 0.5
    assert operator.step().closure == 1.0
    operator.trigger = 0.95
    assert operator.step().closure == 0.95 and not operator.clutch.gripper_waits
    operator.trigger = 0.2
    assert operator.step().closure == 0.2


# Desk devices


def test_a_desk_device_moves_the_arm_along_its_own_axes_while_its_switch_is_held():
    operator = Operator()
    operator.desk(held=True, linear=(1, 0, 0))
    assert operator.ask() is None, "held before it was seen open"
    operator.desk(held=False)
    operator.desk(held=True, linear=(0, 0.5, 0), angular=(0, 0, -1), gripper=0.0)
    assert still(operator.ask())
    command = operator.ask()
    assert np.allclose(command.linear, (0, 0.5 * LIMITS.linear_speed, 0)) and np.allclose(command.angular, (0, 0, -LIMITS.angular_speed))
    operator.desk(held=True, linear=(1, 1, 1), angular=(1, -1, 1))
    command = operator.ask()
    assert math.hypot(*command.linear) <= LIMITS.linear_speed and math.hypot(*command.angular) <= LIMITS.angular_speed
    operator.desk(held=False)
    assert still(operator.ask()) and operator.ask() is None
    operator.desk(held=True)
    operator.ask()
    operator.desk(held=True, visible=False)
    assert not operator.ask().engaged and operator.clutch.why == "the page is hidden"


@pytest.mark.parametrize("wrong", [{"scale": 0.2}, {"silence_s": 0.0}, {"open": 0.8}, {"gain": 1.5}, {"lag_s": -1.0}, {"lead_angle": 4.0}])
def test_settings_that_cannot_be_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Settings(**wrong)
