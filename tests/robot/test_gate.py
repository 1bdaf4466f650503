"""The gate's promises, for any sequence of commands: see docs/explanation/safety.md."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr1_common.conventions import HOLDING, MOVING, STOPPED, TICK

from .plant import (
    CENTRE,
    EXPIRY,
    FALL_ANGULAR,
    FALL_LINEAR,
    FORWARD,
    FULL,
    HIGH,
    LIMITS,
    LOW,
    Plant,
    commands,
    gate,
    grips,
    moves,
    play,
    positions,
    stories,
    waits,
)


@settings(max_examples=150, deadline=None)
@given(stories, positions, st.integers(0, 5), st.integers(0, 12))
def test_whatever_is_commanded_the_motors_get_finite_limited_speeds_inside_the_workspace(
    story, start, lag, late
):
    plant = Plant(gate(), start, lag, late)
    before = (np.zeros(3), np.zeros(3))
    for _, motion in play(plant, story):
        assert np.isfinite(motion.linear).all() and np.isfinite(motion.angular).all()
        v, w = np.linalg.norm(motion.linear), np.linalg.norm(motion.angular)
        assert v <= LIMITS.linear_speed * (1 + 1e-9) and w <= LIMITS.angular_speed * (1 + 1e-9)
        assert v - np.linalg.norm(before[0]) <= LIMITS.linear_acceleration * TICK + 1e-9
        assert w - np.linalg.norm(before[1]) <= LIMITS.angular_acceleration * TICK + 1e-9
        assert (plant.commanded >= LOW - 1e-9).all() and (plant.commanded <= HIGH + 1e-9).all()
        assert np.linalg.norm(motion.angular - before[1]) <= FALL_ANGULAR + 1e-9
        assert plant.gate.closure is None or 0.0 <= plant.gate.closure <= 1.0
        before = (motion.linear, motion.angular)


VAST = replace(LIMITS, workspace_min=(-99.0,) * 3, workspace_max=(99.0,) * 3)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(commands, commands, waits), max_size=40))
def test_in_free_space_no_step_is_harder_than_the_ramp_whichever_source_takes_over_or_lets_go(story):
    plant, before = Plant(gate(limits=VAST)), (np.zeros(3), np.zeros(3))
    for _, motion in play(plant, story):
        assert np.linalg.norm(motion.linear - before[0]) <= FALL_LINEAR + 1e-9
        assert np.linalg.norm(motion.angular - before[1]) <= FALL_ANGULAR + 1e-9
        before = motion.linear, motion.angular


@settings(max_examples=40, deadline=None)
@given(
    st.permutations([("teleop", 1.0), ("home", -1.0), ("policy", 0.5)]),
    st.lists(st.integers(0, 2), min_size=5, max_size=30),
)
def test_a_hand_over_at_full_speed_is_a_ramp_from_the_motion_of_before(senders, turns):
    plant, before = Plant(gate(limits=VAST)), np.zeros(3)
    for turn in turns:
        source, share = senders[turn]
        plant.gate.submit_command(source, [share * LIMITS.linear_speed, 0, 0], [0, 0, 0], plant.now)
        for _ in range(7):
            motion = plant.tick()
            assert np.linalg.norm(motion.linear - before) <= FALL_LINEAR + 1e-9
            assert (
                np.linalg.norm(motion.linear) - np.linalg.norm(before)
                <= LIMITS.linear_acceleration * TICK + 1e-9
            )
            before = motion.linear


@settings(max_examples=100, deadline=None)
@given(stories)
def test_motion_ends_within_expiry_and_stop_time_after_the_last_accepted_command(story):
    plant = Plant(gate())
    last = -math.inf
    for event in story:
        if event[0] == "command":
            _, source, (linear, angular), late = event
            if not plant.gate.submit_command(source, linear, angular, plant.now + late):
                last = max(last, plant.now + min(late, 0.0))
        else:
            for _ in range(event[1] if event[0] == "wait" else 1):
                motion = plant.tick()
                assert not moves(motion) or plant.now - TICK <= last + EXPIRY + LIMITS.stop_time + 1e-6
    for _ in range(math.ceil((EXPIRY + LIMITS.stop_time) / TICK) + 1):
        motion = plant.tick()
    assert not moves(motion) and motion.state in (HOLDING, STOPPED)


@settings(max_examples=100, deadline=None)
@given(stories, st.lists(st.one_of(commands, waits, grips), max_size=30))
def test_after_a_stop_nothing_moves_until_the_reset(story, later):
    plant = Plant(gate())
    for _ in play(plant, story):
        pass
    plant.gate.stop()
    closure = plant.gate.closure
    stopped_at = plant.now
    for _, motion in play(plant, later):
        assert motion.state == STOPPED and motion.reason == "emergency_stop"
        assert not moves(motion) or plant.now - TICK < stopped_at + LIMITS.stop_time
        assert plant.gate.closure == closure


directions = st.tuples(*[st.floats(-1.0, 1.0)] * 3).filter(lambda d: np.linalg.norm(d) > 0.1)


@settings(max_examples=60, deadline=None)
@given(directions, directions)
def test_an_arm_that_is_held_fast_is_not_led_further_than_the_leash(first, second):
    plant, held = Plant(gate()), CENTRE
    for direction in (first, second):
        linear = 0.2 * np.array(direction) / np.linalg.norm(direction)
        for index in range(80):
            if index % 10 == 0:
                plant.gate.submit_command("policy", linear, np.zeros(3), plant.now)
            plant.tick(measured=held)
            assert np.linalg.norm(plant.commanded - held) <= LIMITS.max_following_error + 1e-9
    assert plant.gate.counts["following_error"] > 0


@settings(max_examples=40, deadline=None)
@given(directions, directions)
def test_a_hand_that_is_held_fast_is_not_turned_further_than_the_leash(first, second):
    plant = Plant(gate())
    for direction in (first, second):
        angular = 1.0 * np.array(direction) / np.linalg.norm(direction)
        for index in range(80):
            if index % 10 == 0:
                plant.gate.submit_command("policy", np.zeros(3), angular, plant.now)
            plant.tick(measured=CENTRE)
            assert plant.turned <= LIMITS.max_following_angle + 1e-3
    assert plant.gate.counts["following_error"] > 0


@settings(max_examples=60, deadline=None)
@given(directions, positions, st.integers(0, 10))
def test_at_full_speed_into_a_wall_or_a_corner_the_workspace_holds_without_a_jerk(direction, start, late):
    plant, before = Plant(gate(), start, late=late), np.zeros(3)
    linear = 0.2 * np.array(direction) / np.linalg.norm(direction)
    for index in range(300):
        if index % 10 == 0:
            plant.gate.submit_command("policy", linear, np.zeros(3), plant.now)
        motion = plant.tick()
        assert (plant.commanded >= LOW - 1e-9).all() and (plant.commanded <= HIGH + 1e-9).all()
        assert np.linalg.norm(motion.linear - before) <= math.sqrt(2) * FALL_LINEAR
        before = motion.linear


def test_a_state_that_stands_still_before_a_wall_does_not_hide_what_was_sent_meanwhile():
    plant, down = Plant(gate(), [0.4, 0.0, LOW[2] + 0.1]), ([0.0, 0.0, -LIMITS.linear_speed], np.zeros(3))
    while plant.commanded[2] > LOW[2] + 0.012:
        plant.run(TICK, down)
    assert plant.motions[-1].linear[2] == pytest.approx(-LIMITS.linear_speed)
    for plant.late in range(1, 30):
        plant.run(TICK, down)
        assert plant.commanded[2] >= LOW[2] - 1e-9
    assert plant.motions[-1].reason == "no_pose" and plant.commanded[2] < LOW[2] + 0.001


def test_a_fast_command_keeps_its_direction():
    plant = Plant(gate())
    motion = plant.run(0.4, ([0.3, -0.4, 0.0], [0.0, 0.0, 2.0]))
    np.testing.assert_allclose(motion.linear, np.array([0.6, -0.8, 0.0]) * LIMITS.linear_speed, atol=1e-9)
    np.testing.assert_allclose(motion.angular, [0.0, 0.0, LIMITS.angular_speed], atol=1e-9)
    assert (motion.state, motion.reason, motion.source) == (MOVING, "speed", "policy")
    assert plant.gate.counts["speed"] > 0


def test_full_speed_comes_to_rest_within_stop_time_on_a_ramp():
    plant = Plant(gate())
    plant.run(0.5, FULL)
    assert np.linalg.norm(plant.motions[-1].linear) == pytest.approx(LIMITS.linear_speed)
    plant.gate.stop()
    speeds = [np.linalg.norm(plant.tick().linear) for _ in range(round(LIMITS.stop_time / TICK))]
    assert not moves(plant.motions[-1])
    assert speeds[:-1] == pytest.approx([0.16, 0.12, 0.08, 0.04])


def test_late_ticks_do_not_lengthen_the_stop():
    plant = Plant(gate())
    plant.run(0.5, FULL)
    plant.gate.stop()
    plant.tick()
    plant.now += 3 * TICK
    assert not moves(plant.tick())


def test_teleoperation_goes_before_the_policy_and_gives_way_when_it_ends():
    plant = Plant(gate())
    back, forth = ([-0.05, 0, 0], [0, 0, 0]), ([0.05, 0, 0], [0, 0, 0])
    for index in range(30):
        if index % 10 == 0:
            plant.gate.submit_command("teleop", *back, plant.now)
            plant.gate.submit_command("policy", *forth, plant.now)
        motion = plant.tick()
    assert motion.source == "teleop" and motion.linear[0] < 0
    motion = plant.run(0.4, forth)
    assert motion.source == "policy" and motion.linear[0] > 0


def test_when_teleoperation_ends_a_command_of_the_policy_from_before_it_stays_dead():
    plant = Plant(gate())
    plant.gate.submit_command("policy", *FORWARD, plant.now)
    plant.tick()
    plant.run(0.3, ([0, 0, 0], [0, 0, 0]), "teleop")
    assert not any(moves(plant.tick()) for _ in range(40)) and plant.motions[-1].reason == "expired"


def test_a_broken_teleoperation_does_not_hand_the_arm_to_the_policy():
    plant = Plant(gate())
    plant.run(0.2, FORWARD)
    plant.gate.submit_command("policy", *FORWARD, plant.now)
    plant.gate.submit_command("teleop", [math.nan, 0, 0], [0, 0, 0], plant.now)
    motion = plant.run(0.1)
    assert not moves(motion) and (motion.state, motion.reason) == (HOLDING, "not_finite")


@pytest.mark.parametrize(
    ("linear", "angular", "reason"),
    [
        ([math.nan, 0, 0], [0, 0, 0], "not_finite"),
        ([0, 0, 0], [0, math.inf, 0], "not_finite"),
        ([1e200, 1e200, 0], [0, 0, 0], "jump"),
        ([1.01, 0, 0], [0, 0, 0], "jump"),
        ([0, 0, 0], [0, 5.4, 0], "jump"),
    ],
)
def test_a_broken_command_is_refused_counted_and_brings_the_arm_to_rest(linear, angular, reason):
    plant = Plant(gate())
    plant.run(0.3, FORWARD)
    assert plant.gate.submit_command("policy", linear, angular, plant.now) == reason
    assert plant.gate.counts[reason] == 1
    motion = plant.run(LIMITS.stop_time)
    assert not moves(motion) and motion.reason == reason
    assert moves(plant.run(0.05, FORWARD)), "a good command later moves it again"


def test_a_command_in_another_frame_is_refused():
    plant = Plant(gate())
    assert plant.gate.submit_command("teleop", *FORWARD, plant.now, frame="tool0") == "frame" and not moves(
        plant.tick()
    )
    assert plant.gate.submit_command("teleop", *FORWARD, plant.now, frame="") == "" and moves(plant.tick())


def test_a_command_that_arrives_out_of_order_is_refused():
    plant = Plant(gate())
    plant.gate.submit_command("policy", *FORWARD, plant.now)
    assert plant.gate.submit_command("policy", *FORWARD, plant.now - 0.01) == "out_of_order"
    assert plant.gate.counts["out_of_order"] == 1


def test_the_same_command_again_is_refused_and_does_not_prolong_the_motion():
    plant = Plant(gate())
    began = plant.now
    assert plant.gate.submit_command("policy", *FORWARD, began, stamp=7) == ""
    while plant.now < began + EXPIRY - TICK:
        plant.tick()
        assert plant.gate.submit_command("policy", *FORWARD, plant.now, stamp=7) == "out_of_order", (
            "sent anew, but stamped as before"
        )
        assert plant.gate.submit_command("policy", *FORWARD, plant.now, stamp=6) == "out_of_order", (
            "sent anew, but stamped before"
        )
    plant.run(LIMITS.stop_time + 2 * TICK)
    assert plant.gate.submit_command("policy", *FORWARD, began, stamp=7) == "old"
    assert not moves(plant.tick())
    assert plant.gate.submit_command("policy", *FORWARD, plant.now, stamp=8) == "" and moves(plant.tick())


def test_a_sender_whose_clock_was_set_back_is_taken_again_when_its_last_command_has_expired():
    plant = Plant(gate())
    assert plant.gate.submit_command("policy", *FORWARD, plant.now, stamp=1_000) == ""
    assert plant.gate.submit_command("policy", *FORWARD, plant.now + 0.001, stamp=10) == "out_of_order"
    plant.run(EXPIRY + 2 * TICK)
    assert plant.gate.submit_command("policy", *FORWARD, plant.now, stamp=20) == ""


def test_a_command_that_was_on_its_way_for_too_long_is_refused():
    plant = Plant(gate())
    plant.tick()
    assert plant.gate.submit_command("policy", *FORWARD, plant.now - EXPIRY - 0.02) == "old"
    assert plant.gate.submit_command("policy", *FORWARD, plant.now - 0.1) == ""
    assert plant.gate.submit_gripper("policy", 1.0, plant.now - EXPIRY - 0.02) == "old"
    assert not moves(plant.run(0.2)), "time on the way counts: this one lived only another 50 ms"
    assert any(moves(motion) for motion in plant.motions)


def test_a_command_from_the_future_does_not_move_the_arm():
    plant = Plant(gate())
    plant.gate.submit_command("policy", *FORWARD, plant.now + 5.0)
    assert not any(moves(plant.tick()) for _ in range(30))


def test_a_hard_turn_spends_its_step_on_slowing_down_before_it_speeds_up():
    plant = Plant(gate())
    plant.run(0.5, ([0.2, 0.0, 0.0], [0, 0, 0]))
    plant.gate.submit_command("policy", [-0.2, 0.0, 0.0], [0, 0, 0], plant.now)
    speeds = [plant.tick().linear[0] for _ in range(6)]
    assert speeds[:4] == pytest.approx([0.16, 0.12, 0.08, 0.04]) and speeds[5] == pytest.approx(
        -LIMITS.linear_acceleration * TICK
    )


def test_the_reset_forgets_what_was_commanded_before_it():
    plant = Plant(gate())
    plant.run(0.2, FORWARD)
    plant.gate.stop()
    assert plant.gate.submit_command("policy", *FORWARD, plant.now) == "stopped"
    plant.run(0.1)
    assert plant.gate.reset(plant.now) == ""
    assert plant.gate.submit_command("policy", *FORWARD, plant.now - 0.005) == "out_of_order", (
        "sent before the reset"
    )
    assert not moves(plant.tick())
    plant.gate.submit_command("policy", *FORWARD, plant.now)
    assert moves(plant.tick())


def test_not_armed_stays_until_a_person_resets_it():
    plant = Plant(gate(armed=False))
    assert plant.gate.reset(plant.now) != "", "before the first pose there is nothing to hold"
    motion = plant.run(0.2, FORWARD)
    assert (motion.state, motion.reason) == (STOPPED, "not_armed") and not moves(motion)
    assert plant.gate.reset(plant.now) == ""
    plant.tick()
    assert moves(plant.run(0.1, FORWARD))


def test_a_missing_pose_holds_at_once_latches_when_it_lasts_and_forbids_the_reset():
    plant = Plant(gate())
    plant.run(0.3, FORWARD)
    for _ in range(5):
        motion = plant.tick(measured=None)
    assert not moves(motion) and (motion.state, motion.reason) == (HOLDING, "no_pose")
    for _ in range(20):
        motion = plant.tick(measured=np.full(3, math.nan))
    assert (motion.state, motion.reason) == (STOPPED, "no_pose")
    assert "pose" in plant.gate.reset(plant.now)
    assert plant.tick().state == STOPPED, "the pose is back, but only a person resets"
    assert plant.gate.reset(plant.now) == ""
    plant.tick()
    assert moves(plant.run(0.05, FORWARD))


def test_a_fault_of_the_arm_latches_and_forbids_the_reset_while_it_lasts():
    plant = Plant(gate())
    plant.run(0.1, FORWARD)
    assert plant.tick(faults=["joint 3: too hot"]).reason == "backend_fault"
    assert "joint 3: too hot" in plant.gate.reset(plant.now)
    plant.tick()
    assert plant.gate.reset(plant.now) == ""


def test_the_first_reason_of_a_stop_is_kept():
    plant = Plant(gate())
    plant.gate.stop()
    plant.tick(faults=["something else"])
    assert plant.tick().reason == "emergency_stop"


def test_at_a_wall_the_motion_along_it_goes_on():
    plant = Plant(gate(), [HIGH[0] - 0.001, 0.0, 0.3])
    motion = plant.run(0.4, ([0.1, 0.1, 0.0], [0, 0, 0]))
    assert motion.reason == "workspace" and plant.gate.counts["workspace"] > 0
    assert motion.linear[0] == pytest.approx(0.0, abs=1e-3) and motion.linear[1] == pytest.approx(0.1)


def test_an_arm_outside_the_workspace_may_only_go_back():
    plant = Plant(gate(), [HIGH[0] + 0.05, 0.0, 0.3])
    assert plant.run(0.2, ([0.1, 0, 0], [0, 0, 0])).linear[0] == 0.0
    assert plant.run(0.2, ([-0.1, 0, 0], [0, 0, 0])).linear[0] < 0.0


def test_the_gripper_obeys_only_the_source_in_charge_clamped_and_never_while_stopped():
    plant = Plant(gate())
    assert plant.gate.submit_gripper("policy", 1.0, plant.now) == "not_in_charge"
    plant.gate.submit_command("policy", *FORWARD, plant.now)
    assert plant.gate.submit_gripper("policy", 1.7, plant.now) == "" and plant.gate.closure == 1.0
    assert plant.gate.submit_gripper("teleop", 0.0, plant.now) == "not_in_charge"
    assert plant.gate.submit_gripper("policy", math.nan, plant.now) == "not_finite"
    plant.gate.submit_command("teleop", *FORWARD, plant.now)
    assert plant.gate.submit_gripper("policy", 0.0, plant.now) == "not_in_charge"
    plant.gate.stop()
    assert plant.gate.submit_gripper("teleop", 0.0, plant.now) == "stopped" and plant.gate.closure == 1.0


def test_every_refusal_is_counted_under_its_reason():
    plant = Plant(gate())
    plant.tick()
    plant.gate.submit_command("policy", [math.nan] * 3, [0, 0, 0], plant.now)
    plant.gate.submit_command("policy", [9, 0, 0], [0, 0, 0], plant.now + 1e-6)
    plant.gate.submit_command("policy", *FORWARD, plant.now - 0.1)
    plant.gate.submit_gripper("teleop", 0.5, plant.now)
    plant.gate.stop()
    plant.gate.submit_command("policy", *FORWARD, plant.now)
    wanted = {
        "not_finite": 1,
        "jump": 1,
        "out_of_order": 1,
        "not_in_charge": 1,
        "stopped": 1,
        "emergency_stop": 1,
    }
    assert {reason: plant.gate.counts[reason] for reason in wanted} == wanted


def test_an_unknown_source_is_a_mistake_in_the_program():
    with pytest.raises(ValueError, match="joystick"):
        gate().submit_command("joystick", *FORWARD, 0.0)
