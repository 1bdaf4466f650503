"""The gate and the joints of a real arm's kinematics, whatever it is told and whatever the arm says of
itself.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr1_common.conventions import HOLDING, MOVING, STOPPED, TICK
from gr1_core.kinematics import GEN2

from .plant import (
    CONDITIONS,
    LIMITS,
    JointArm,
    commands,
    gate,
    least_squares,
    moves,
    stops,
    twists,
    waits,
    with_another_posture,
)

LIMITED = np.flatnonzero(np.isfinite(GEN2.limits).all(axis=1))
ENDS = GEN2.limits[LIMITED]
MARGIN = LIMITS.joint_margin
VAST = replace(LIMITS, workspace_min=(-99.0,) * 3, workspace_max=(99.0,) * 3)
READY = np.radians([171.5, 201.9, 32.9, 89.9, 167.7, 108.4, 296.4])
FALLS = np.array([LIMITS.linear_speed, LIMITS.angular_speed]) / LIMITS.stop_time * TICK

events = st.one_of(
    commands,
    commands,
    waits,
    stops,
    st.tuples(st.sampled_from(CONDITIONS), st.integers(1, 20)),
    st.tuples(st.just("gap"), st.one_of(st.floats(0.0, 0.5), st.floats(0.5, 5.0))),
)
turns = st.floats(-math.pi, math.pi)
postures = st.tuples(*[turns if math.isinf(low) else st.floats(low, high) for low, high in GEN2.limits])


def near_an_end(joint, end, room):
    """The ready posture with one limited joint `room` rad from its margin; less than 0: within it."""
    joints = READY.copy()
    joints[LIMITED[joint]] = ENDS[joint, end] + (1, -1)[end] * (MARGIN + room)
    return joints


near = st.builds(near_an_end, st.integers(0, 2), st.integers(0, 1), st.floats(-0.04, 0.3))
anywhere = st.one_of(near, near, postures.map(np.array))


def room(joints):
    """rad between each limited joint and its margins, f64[3] below and above."""
    return joints[LIMITED] - ENDS[:, 0] - MARGIN, ENDS[:, 1] - MARGIN - joints[LIMITED]


def check_joints(state, motion):
    rates = least_squares(GEN2.jacobian(state.joints), np.concatenate([motion.linear, motion.angular]))[
        LIMITED
    ]
    below, above = room(state.joints)
    assert (rates <= np.maximum(above, 0.0) / LIMITS.stop_time + 1e-6).all()
    assert (rates >= -np.maximum(below, 0.0) / LIMITS.stop_time - 1e-6).all()


@settings(max_examples=80, deadline=None)
@given(st.lists(events, max_size=30), anywhere, st.integers(0, 5))
def test_whatever_is_commanded_and_whatever_the_arm_says_the_motors_get_only_what_is_allowed(
    story, joints, lag
):
    arm = JointArm(gate(joint_limits=GEN2.limits), joints, lag)
    low, high = np.array(LIMITS.workspace_min), np.array(LIMITS.workspace_max)
    speeds, stopped = np.zeros(2), 0
    for event in story:
        condition, ticks = "fine", 1
        if event[0] == "command":
            arm.gate.submit_command(event[1], *event[2], arm.now + event[3])
        elif event[0] == "gap":
            arm.now += event[1]
        elif event[0] == "stop":
            arm.gate.stop()
        elif event[0] == "reset":
            arm.gate.reset(arm.now)
        elif event[0] == "wait":
            ticks = event[1]
        else:
            condition, ticks = event
        for _ in range(ticks):
            state, motion = arm.tick(condition)
            assert np.isfinite(motion.linear).all() and np.isfinite(motion.angular).all()
            now = np.array([np.linalg.norm(motion.linear), np.linalg.norm(motion.angular)])
            assert (now <= np.array([LIMITS.linear_speed, LIMITS.angular_speed]) * (1 + 1e-9)).all()
            assert (
                now - speeds
                <= np.array([LIMITS.linear_acceleration, LIMITS.angular_acceleration]) * TICK + 1e-9
            ).all()
            if condition in ("fine", "press", "nan_force", "fault", "jump"):
                check_joints(state, motion)
                position = state.commanded.position
                assert (motion.linear <= np.maximum(high - position, 0.0) / LIMITS.stop_time + 1e-6).all()
                assert (motion.linear >= -np.maximum(position - low, 0.0) / LIMITS.stop_time - 1e-6).all()
            elif condition != "fine":
                assert (now <= np.maximum(speeds, 1e-12)).all(), (
                    "an arm that does not say where it is only slows down"
                )
            stopped = stopped + 1 if motion.state == STOPPED else 0
            assert stopped < round(LIMITS.stop_time / TICK) or not moves(motion)
            speeds = now


def into(joint, end, joints):
    """The twist f64[6] that moves one limited joint towards one of its ends, at the speed limit."""
    twist = GEN2.jacobian(joints)[:, LIMITED[joint]] * (-1, 1)[end]
    return twist / max(
        np.linalg.norm(twist[:3]) / LIMITS.linear_speed, np.linalg.norm(twist[3:]) / LIMITS.angular_speed
    )


@pytest.mark.parametrize(("lag", "late"), [(0, 0), (3, 0), (6, 0), (0, 6), (2, 4)])
@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("joint", [0, 1, 2])
def test_no_joint_passes_its_margin_at_full_speed_however_the_arm_and_its_state_lag_behind(
    joint, end, lag, late
):
    arm = JointArm(gate(limits=VAST, joint_limits=GEN2.limits), near_an_end(joint, end, 0.2), lag, late=late)
    for index in range(120):
        if index % 5 == 0:
            twist = into(joint, end, arm.trail[-1])
            arm.gate.submit_command("policy", twist[:3], twist[3:], arm.now)
        arm.tick()
        assert room(arm.trail[-1])[end][joint] > -1e-3
    assert room(arm.trail[-1])[end][joint] < 0.02, "it came to its margin"


@settings(max_examples=30, deadline=None)
@given(near, twists, st.integers(0, 6))
def test_the_margin_is_enough_for_an_arm_that_divides_the_motion_among_its_joints_in_another_way(
    joints, twist, lag
):
    arm = JointArm(gate(limits=VAST, joint_limits=GEN2.limits), joints, lag, with_another_posture)
    for index in range(120):
        if index % 10 == 0:
            arm.gate.submit_command("policy", *twist, arm.now)
        arm.tick()
        assert (arm.trail[-1][LIMITED] > ENDS[:, 0]).all() and (arm.trail[-1][LIMITED] < ENDS[:, 1]).all()


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("joint", [0, 1, 2])
def test_towards_an_end_the_whole_motion_fades_out_keeps_its_direction_and_the_joint_is_named(joint, end):
    arm = JointArm(gate(limits=VAST, joint_limits=GEN2.limits), near_an_end(joint, end, 0.1))
    before, named = np.zeros(6), False
    for index in range(200):
        if index % 10 == 0:
            wanted = into(joint, end, arm.joints)
            arm.gate.submit_command("policy", wanted[:3], wanted[3:], arm.now)
        _, motion = arm.tick()
        after = np.concatenate([motion.linear, motion.angular])
        assert (
            np.linalg.norm(after[:3] - before[:3]) <= FALLS[0] * 1.01
            and np.linalg.norm(after[3:] - before[3:]) <= FALLS[1] * 1.01
        )
        if motion.reason == "joint_limit":
            named |= motion.detail.startswith(f"joint {LIMITED[joint] + 1} is ")
        before = after
    assert named and motion.state == MOVING and arm.gate.counts["joint_limit"] > 0
    assert np.linalg.norm(after) < 0.02 * np.linalg.norm(wanted)
    assert after @ wanted / np.linalg.norm(after) / np.linalg.norm(wanted) > 0.99
    arm.gate.submit_command("policy", -wanted[:3], -wanted[3:], arm.now)
    for _ in range(10):
        _, motion = arm.tick()
    assert moves(motion) and motion.reason != "joint_limit", "away from the end it is free"


def test_a_joint_within_its_margin_may_only_go_away_from_its_end():
    for direction, free in ((1, False), (-1, True)):
        arm = JointArm(gate(limits=VAST, joint_limits=GEN2.limits), near_an_end(1, 1, -0.03))
        twist = direction * GEN2.jacobian(arm.joints)[:, LIMITED[1]] * 0.1
        arm.gate.submit_command("policy", twist[:3], twist[3:], arm.now)
        for _ in range(8):
            _, motion = arm.tick()
        assert moves(motion) == free
        assert (motion.reason == "joint_limit") != free


def test_joints_that_are_not_numbers_are_no_pose_and_forbid_the_reset():
    arm = JointArm(gate(joint_limits=GEN2.limits), READY)
    arm.tick()
    for _ in range(10):
        _, motion = arm.tick("nan_joints")
    assert (motion.state, motion.reason) == (HOLDING, "no_pose") and "joint" in motion.detail
    assert "joint" in arm.gate.reset(arm.now)


@settings(max_examples=60, deadline=None)
@given(anywhere, twists, st.integers(0, 30), st.integers(0, 5), st.sampled_from(["stop", *CONDITIONS]))
def test_every_latch_means_rest_within_stop_time_in_any_posture(joints, twist, ticks, lag, event):
    arm = JointArm(gate(limits=VAST, joint_limits=GEN2.limits), joints, lag)
    for index in range(ticks):
        if index % 10 == 0:
            arm.gate.submit_command("policy", *twist, arm.now)
        arm.tick()
    if event == "stop":
        arm.gate.stop()
    for _ in range(round(LIMITS.stop_time / TICK)):
        _, motion = arm.tick("fine" if event == "stop" else event)
    assert not moves(motion) or event == "jump"
