"""The clutch: where the arm goes, how fast, and what the gripper does."""

import math

import numpy as np
import pytest

from gr1_teleop import quaternion
from gr1_teleop.clutch import ENGAGED
from gr1_teleop.clutch_settings import ClutchSettings

from .operator import LIMITS, Operator, moved, settle, still


def turned(operator, since):
    return quaternion.rotation_between(since.quaternion, operator.arm.quaternion)


# Where the arm goes


@pytest.mark.parametrize(
    ("hand", "arm"), [((0, 0, -1), (1, 0, 0)), ((-1, 0, 0), (0, 1, 0)), ((0, 1, 0), (0, 0, 1))]
)
def test_ahead_left_and_up_of_the_hand_are_x_y_and_z_of_the_arm_for_motion_and_for_rotation(hand, arm):
    operator = Operator(scale=0.5)
    operator.orientation = quaternion.from_rotation_vector((0.4, -1.0, 2.0))  # however the controller is held
    operator.grip()
    start = operator.arm
    operator.step(0.1 * np.array(hand), 0.3 * np.array(hand))
    settle(operator)
    assert np.allclose(moved(operator, start), 0.05 * np.array(arm), atol=5e-4)
    assert np.allclose(turned(operator, start), 0.3 * np.array(arm), atol=3e-3)


@pytest.mark.parametrize("yaw", [0.5, -2.0, math.pi])
def test_forward_is_where_the_hand_points_when_the_stick_is_pressed_and_only_about_the_vertical(yaw):
    # The controller points between -z and -y of grip space: held level, grip space leans back by 45 degrees.
    level = quaternion.multiply(
        quaternion.from_rotation_vector((0, yaw, 0)), quaternion.from_rotation_vector((math.pi / 4, 0, 0))
    )
    pitched = quaternion.multiply(
        quaternion.from_rotation_vector((0, yaw, 0)),
        quaternion.from_rotation_vector((math.pi / 4 + 0.6, 0, 0)),
    )
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
    operator.orientation = quaternion.from_rotation_vector((math.pi * 0.75, 0, 0))
    operator.step()
    operator.stick = True
    operator.step()
    assert operator.events[-1].kind == "refused" and operator.clutch.forward == 0.0
    operator.stick, operator.orientation = False, quaternion.from_rotation_vector((math.pi / 4, 1.0, 0))
    operator.wait(0.2)
    operator.grip()
    operator.stick = True
    operator.step()
    assert operator.clutch.state == ENGAGED and operator.clutch.forward == 0.0


def test_a_phone_points_with_its_camera_or_with_its_top():
    for pitch in (0.0, -math.pi / 2):  # upright; flat, the screen up
        operator = Operator()
        operator.clutch.reset_for_device("phone")
        operator.orientation = quaternion.multiply(
            quaternion.from_rotation_vector((0, 0.7, 0)), quaternion.from_rotation_vector((pitch, 0, 0))
        )
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
    assert (
        math.hypot(*command.linear) == pytest.approx(LIMITS.linear_speed)
        and math.hypot(*command.linear) <= LIMITS.linear_speed
    )
    stopped = operator.arm
    settle(operator, 30)
    assert math.hypot(*moved(operator, stopped)) <= ClutchSettings().max_lead + 1e-6
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


# The gripper


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
    assert np.allclose(command.linear, (0, 0.5 * LIMITS.linear_speed, 0)) and np.allclose(
        command.angular, (0, 0, -LIMITS.angular_speed)
    )
    operator.desk(held=True, linear=(1, 1, 1), angular=(1, -1, 1))
    command = operator.ask()
    assert (
        math.hypot(*command.linear) <= LIMITS.linear_speed
        and math.hypot(*command.angular) <= LIMITS.angular_speed
    )
    operator.desk(held=False)
    assert still(operator.ask()) and operator.ask() is None
    operator.desk(held=True)
    operator.ask()
    operator.desk(held=True, visible=False)
    assert not operator.ask().engaged and operator.clutch.why == "the page is hidden"


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": 0.2},
        {"timeout_s": 0.0},
        {"release_threshold": 0.8},
        {"gain": 1.5},
        {"lag_s": -1.0},
        {"max_lead_angle": 4.0},
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        ClutchSettings(**wrong)
