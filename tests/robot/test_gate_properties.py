"""What holds for the gate whatever is commanded, and when: properties over random stories of commands."""

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gr1_common.conventions import HOLDING, STOPPED, TICK

from .plant import (
    CENTRE,
    EXPIRY,
    FALL_ANGULAR,
    FALL_LINEAR,
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
def test_an_arm_that_is_held_fast_is_not_led_further_than_the_limit(first, second):
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
def test_a_hand_that_is_held_fast_is_not_turned_further_than_the_limit(first, second):
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
