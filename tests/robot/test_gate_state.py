"""What the gate makes of the arm's own words (state, force, faults) and of a loop that stood still: see
docs/explanation/safety.md.
"""

import math

import numpy as np
import pytest

from gr1_common.conventions import HOLDING, MOVING, STOPPED, TICK

from .plant import EXPIRY, FORWARD, LIMITS, Plant, gate, moves

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


def test_after_a_reset_a_hand_that_still_presses_may_back_off_but_not_press_harder():
    plant = Plant(gate())
    pressing = np.array([0.0, 0.0, 40.0])
    plant.tick(force=pressing)
    assert plant.gate.reset(plant.now) == ""
    plant.tick(force=pressing)
    plant.gate.submit_command("teleop", *FORWARD, plant.now)
    assert moves(plant.tick(force=pressing))
    assert plant.tick(force=1.5 * pressing).reason == "force", "harder"
    assert plant.gate.reset(plant.now) == ""
    plant.tick(force=0.5 * pressing)
    assert plant.tick(force=pressing).reason == "force", (
        "it was free in between: the limit is the rig's again"
    )


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
