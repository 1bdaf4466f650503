"""What the gate makes of the arm's own words (state, force, faults) and of a loop that stood still: see
docs/explanation/safety.md.
"""

import math

import numpy as np
import pytest

from gr1_common.conventions import HOLDING, MOVING, STOPPED, TICK

from .plant import EXPIRY, FORWARD, FULL, LIMITS, Plant, gate, moves

UP = ((0.0, 0.0, 0.1), (0.0, 0.0, 0.0))

# What the arm says of itself


def test_a_state_that_does_not_change_any_more_counts_as_no_pose_once_it_is_as_old_as_a_command_may_be():
    plant = Plant(gate())
    plant.run(0.3, FORWARD)
    began = plant.now
    while plant.motions[-1].state != STOPPED:
        plant.gate.submit_command("policy", *FORWARD, plant.now)
        motion = plant.tick(age=plant.now - began)
        assert plant.now < began + 1.0
    assert plant.now - TICK == pytest.approx(began + EXPIRY, abs=1.5 * TICK) and motion.reason == "no_pose"
    assert "s old" in motion.detail and "s old" in plant.gate.reset(plant.now)
    plant.run(LIMITS.stop_time)
    assert not moves(plant.tick(age=1.0))


@pytest.mark.parametrize("age", [math.nan, -1.0, math.inf])
def test_a_state_of_a_time_that_cannot_be_true_is_no_state(age):
    plant = Plant(gate())
    plant.run(0.1, FORWARD)
    assert plant.tick(age=age).reason == "no_pose"


def test_more_force_than_allowed_latches_and_is_told_in_newtons():
    plant = Plant(gate())
    plant.run(0.3, FORWARD)
    assert plant.tick(force=np.array([0.0, 0.0, LIMITS.force - 0.1])).state == MOVING
    motion = plant.tick(force=np.array([0.0, 34.0, 0.0]))
    assert (
        (motion.state, motion.reason) == (STOPPED, "force")
        and "34 N" in motion.detail
        and plant.gate.counts["force"] == 1
    )
    plant.run(LIMITS.stop_time)
    assert not moves(plant.tick())


PRESSING = np.array([0.0, 0.0, 1.1 * LIMITS.force])


def pressed():
    """A hand that pressed down too hard, was stopped and reset, and still presses."""
    plant = Plant(gate())
    assert plant.tick(force=PRESSING).reason == "force"
    assert plant.gate.reset(plant.now) == ""
    plant.tick(force=PRESSING)
    return plant


def test_after_a_reset_a_hand_that_still_presses_may_back_off_but_not_press_harder():
    plant = pressed()
    plant.gate.submit_command("teleop", *UP, plant.now)
    assert moves(plant.tick(force=PRESSING))
    assert plant.tick(force=1.1 * PRESSING).reason == "force", "harder"
    assert plant.gate.reset(plant.now) != "", "more than 1.2 times the limit"
    plant.tick(force=PRESSING)
    assert plant.gate.reset(plant.now) == ""
    plant.tick(force=0.5 * PRESSING)
    assert plant.tick(force=PRESSING).reason == "force", (
        "it was free in between: the limit is the rig's again"
    )


@pytest.mark.parametrize("source", ["teleop", "home"])
def test_a_hand_that_presses_moves_only_away_from_the_contact_and_does_not_turn(source):
    plant = pressed()
    for linear in ((0.1, 0.0, 0.1), (0.1, 0.0, -0.1)):
        for _ in range(20):
            plant.gate.submit_command(source, linear, (0.0, 0.5, 0.0), plant.now)
            motion = plant.tick(force=PRESSING)
            assert motion.linear[2] >= 0.0 and motion.linear[0] > 0.0 and not motion.angular.any()
        assert motion.reason == "contact" and motion.state == MOVING
    for _ in range(20):
        plant.gate.submit_command(source, (0.0, 0.0, -0.1), (0.0, 0.0, 0.0), plant.now)
        motion = plant.tick(force=PRESSING)
    assert not moves(motion) and (motion.state, motion.reason) == (HOLDING, "contact")


def test_a_policy_does_not_move_a_hand_that_presses_whatever_number_of_resets():
    plant = pressed()
    for _ in range(10):
        plant.gate.submit_command("policy", *UP, plant.now)
        motion = plant.tick(force=PRESSING)
        assert not moves(motion) and motion.reason == "contact"
        assert plant.gate.reset(plant.now) == ""
        plant.now += TICK
    plant.gate.submit_command("policy", *UP, plant.now)
    assert moves(plant.tick(force=0.5 * PRESSING)), "free again"


def test_an_arm_that_has_reported_its_force_must_go_on_reporting_it():
    plant = Plant(gate())
    plant.run(0.3, FORWARD)
    assert plant.gate.latched == "", "an arm that never reports one has no such protection"
    plant.tick(force=np.zeros(3))
    lost = plant.now
    motion = plant.run(EXPIRY - 2 * TICK, FORWARD)
    assert motion.state == MOVING, "one reading may fail"
    while plant.now < lost + EXPIRY + 2 * TICK:
        motion = plant.tick()
    assert (motion.state, motion.reason) == (STOPPED, "backend_fault")
    assert "no longer reports the force" in motion.detail and plant.gate.reset(plant.now) != ""
    plant.tick(force=np.zeros(3))
    assert plant.gate.reset(plant.now) == ""


# An arm that does not follow


def held_fast(plant, held, seconds, command=FORWARD):
    """Commands an arm whose measured position stays at `held`."""
    for index in range(round(seconds / TICK)):
        if index % 10 == 0:
            plant.gate.submit_command("policy", *command, plant.now)
        motion = plant.tick(held)
    return motion


def test_an_arm_that_does_not_follow_latches_after_a_while_and_a_person_may_lead_it_back():
    plant = Plant(gate())
    held = plant.commanded.copy()
    motion = held_fast(plant, held, 1.5)
    assert motion.reason == "following_error"
    motion = held_fast(plant, held, 1.0)
    assert (motion.state, motion.reason) == (STOPPED, "stuck") and "1.5 s" in motion.detail
    assert plant.gate.reset(plant.now) == ""
    plant.now += TICK
    free = plant.commanded.copy()
    assert held_fast(plant, held, 0.5, ([-0.05, 0.0, 0.0], [0.0, 0.0, 0.0])).state == MOVING
    assert plant.commanded[0] < free[0]


def test_an_arm_that_sinks_away_latches_although_nothing_is_commanded():
    plant = Plant(gate())
    plant.run(0.1)
    sunk = plant.commanded - (0.0, 0.0, LIMITS.max_following_error + 0.001)
    for _ in range(round(1.4 / TICK)):
        motion = plant.tick(sunk)
    assert motion.state == HOLDING
    for _ in range(round(0.2 / TICK)):
        motion = plant.tick(sunk)
    assert (motion.state, motion.reason) == (STOPPED, "stuck")


def test_an_arm_that_is_held_for_a_moment_needs_no_person():
    plant = Plant(gate())
    for _ in range(4):
        held_fast(plant, plant.commanded.copy(), 1.0)
        plant.run(0.5, ([-0.1, 0.0, 0.0], [0.0, 0.0, 0.0]))
    assert plant.gate.latched == ""


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_force_that_is_not_finite_is_a_fault_of_the_arm(value):
    plant = Plant(gate())
    motion = plant.tick(force=np.array([0.0, value, 0.0]))
    assert (motion.state, motion.reason) == (STOPPED, "backend_fault") and "not finite" in motion.detail
    assert "not finite" in plant.gate.reset(plant.now)


# The loop


def test_a_loop_that_stood_still_latches_and_moves_nothing_on_waking():
    plant = Plant(gate())
    plant.run(0.3, FORWARD)
    plant.now += 0.6
    motion = plant.run(TICK, FORWARD)
    assert (
        (motion.state, motion.reason) == (STOPPED, "loop_stalled")
        and not moves(motion)
        and "0.6 s" in motion.detail
    )
    assert not moves(plant.run(0.2, FORWARD))
    assert plant.gate.reset(plant.now) == ""
    plant.tick()
    assert moves(plant.run(0.05, FORWARD))


def test_a_hold_up_on_purpose_and_a_short_one_need_no_person():
    plant = Plant(gate())
    plant.run(0.1, FORWARD)
    plant.gate.restart_timing()
    plant.now += 5.0
    assert plant.tick().state == HOLDING
    plant.now += 0.4
    assert plant.tick().state == HOLDING and plant.gate.counts["loop_stalled"] == 0


# Which reason is kept


def test_the_graver_reason_of_a_stop_is_kept_and_gives_way_to_a_refused_reset():
    plant = Plant(gate(armed=False))
    plant.tick(faults=["joint 3: too hot"])
    assert plant.gate.latched == "not_armed"
    plant.tick(force=np.array([99.0, 0.0, 0.0]), faults=["joint 3: too hot"])
    assert plant.gate.latched == "force"
    plant.gate.stop()
    plant.tick(force=np.array([99.0, 0.0, 0.0]), faults=["joint 3: too hot"])
    assert plant.gate.latched == "emergency_stop"
    assert "too hot" in plant.gate.reset(plant.now) and plant.gate.latched == "not_armed"
    plant.gate.stop("force", "99 N on the hand")
    assert plant.gate.reset(plant.now) != "" and plant.tick().detail == "", (
        "what the force was is no reason any more"
    )


class Deaf(Plant):
    """An arm that takes every point and carries none out: its commanded pose stands still too."""

    def tick(self, **state):
        motion = super().tick(**state)
        self.trail[-1] = self.trail[-2]
        return motion


@pytest.mark.parametrize(
    "command",
    [FULL, ([0.0, 0.0, 0.02], [0.0] * 3), ([0.0] * 3, [0.0, 0.2, 0.0])],
    ids=["full", "slow", "turn"],
)
def test_an_arm_that_ignores_what_it_is_sent_is_stopped_within_half_a_second_of_motion(command):
    plant = Deaf(gate())
    plant.run(0.5, command)
    assert plant.gate.latched == "ignored" and not moves(plant.motions[-1])
    assert plant.gate.reset(plant.now) == ""
    plant.run(0.5, command)
    assert plant.gate.latched == "ignored", "again, after the reset"


def test_an_arm_that_follows_late_in_part_or_to_and_fro_does_not_ignore():
    for late, lag in ((0, 6), (12, 0), (8, 6)):
        plant = Plant(gate(), lag=lag, late=late)
        for index in range(60):
            linear = 0.2 * np.sin(index * np.array([0.9, 1.7, 2.3]))
            plant.run(0.05, (linear, [0.5 * np.cos(index), 0.0, 0.0]))
        assert plant.gate.latched == "", (late, lag)
