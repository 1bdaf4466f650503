"""The gate and the whole arm: no part of it touches the table, a box or another part, no joint is faster than
its vendor allows, and motion along and away from them stays free. The arms have inertia and lag.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import GEN2, GEN2_CAPSULES
from gr1_core.rig import Obstacle, Rig

from .inert import GEN2_READY, VENDOR, InertArm, Robot, robot
from .plant import LIMITS, least_squares

STARTS = [(x, y) for x in (0.30, 0.45) for y in (-0.2, 0.1)]
TURNS = [sign * axis for axis in np.eye(3) for sign in (-1.0, 1.0)]


@cache
def low_over_the_table(x, y):
    """Joints with the hand down and the fingertips 30 mm above the table."""
    joints = GEN2_READY.copy()
    for _ in range(400):
        position, quaternion = GEN2.forward(joints)
        turn = (Rotation.from_quat([1.0, 0.0, 0.0, 0.0]) * Rotation.from_quat(quaternion).inv()).as_rotvec()
        error = np.concatenate([np.array([x, y, 0.030]) - position, turn])
        joints = joints + least_squares(GEN2.jacobian(joints), np.clip(error, -0.05, 0.05))
    assert np.linalg.norm(error) < 1e-3
    return joints


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_turns_in_place_over_the_table_never_put_a_part_of_the_arm_on_it(start):
    for turn in TURNS:
        arm = InertArm(robot("gen2"), low_over_the_table(*start))
        arm.run(2.0, angular=LIMITS.angular_speed * turn)
        distance, speed, room = arm.least_room()
        assert distance > 0.0 and speed < 1.0 and room > 0.0, turn


def test_a_gate_that_does_not_know_the_body_lets_some_of_them_through():
    kind, through = robot("gen2"), 0
    for turn in TURNS:
        arm = InertArm(kind, low_over_the_table(*STARTS[0]), gate=kind.gate(watched=False))
        arm.run(2.0, angular=LIMITS.angular_speed * turn)
        through += arm.least_room()[0] < -0.03
    assert through > 0


@pytest.mark.parametrize("name", ["gen2", "gen3"])
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.03, 0.06]))
def test_whatever_is_commanded_from_whatever_posture_nothing_is_touched(name, seed, lag):
    kind, rng = robot(name), np.random.default_rng(seed)
    arm = InertArm(kind, kind.posture(rng) if seed % 2 else kind.ready, lag)
    arm.wander(rng, 12)
    distance, speed, room = arm.least_room()
    assert distance > 0.0 and speed < 1.0 and room > 0.0


def with_limits(obstacles=None, **limits):
    rig = Rig.load("kinova_gen2")
    rig = replace(rig, limits=replace(rig.limits, **limits), obstacles=obstacles or {})
    return Robot(rig, GEN2, GEN2_CAPSULES, VENDOR, GEN2_READY)


def test_a_box_is_not_touched_and_the_way_along_it_and_back_stays_free():
    kind = with_limits({"crate": Obstacle(min=(0.30, 0.10, 0.0), max=(0.60, 0.30, 0.30))})
    arm = InertArm(kind, kind.ready)
    motion = arm.run(2.5, linear=(0.0, 0.15, 0.0))
    assert motion.reason == "obstacle" and "crate" in motion.detail and "mm" in motion.detail
    assert np.linalg.norm(motion.linear) < 0.01
    before = arm.history[-1][2]
    along = arm.run(0.5, linear=(0.05, 0.15, 0.0))
    assert along.linear[0] == pytest.approx(0.05, abs=0.01), "only the part towards it is removed"
    assert arm.run(0.5, linear=(0.0, -0.15, 0.0)).reason == "none"
    assert arm.least_room()[0] > 0.0 and arm.history[-1][2][1] < before[1] - 0.02


def test_what_is_near_is_named_and_away_from_it_the_arm_is_free():
    for turn in TURNS:
        arm = InertArm(robot("gen2"), low_over_the_table(*STARTS[0]))
        motion = arm.run(2.5, angular=LIMITS.angular_speed * turn)
        if motion.reason == "table":
            break
    assert motion.reason == "table" and " and the table: " in motion.detail
    tilted = arm.joints
    arm.run(0.6, angular=-LIMITS.angular_speed * turn)
    assert np.linalg.norm(arm.joints - tilted) > 0.1
    up = arm.history[-1][2][2]
    arm.run(0.6, linear=(0.0, 0.0, LIMITS.linear_speed))
    assert arm.history[-1][2][2] > up + 0.03


def test_with_the_hand_down_the_lowest_point_of_the_workspace_is_reached():
    arm = InertArm(robot("gen2"), GEN2_READY)
    arm.run(3.0, linear=(0.0, 0.0, -LIMITS.linear_speed))
    assert arm.history[-1][2][2] == pytest.approx(LIMITS.workspace_min[2], abs=2e-3)
    assert arm.gate.counts["table"] == 0


def test_near_the_end_of_its_reach_the_joints_stay_within_their_speeds():
    kind = with_limits(workspace_min=(-2.0, -2.0, 0.028), workspace_max=(2.0, 2.0, 2.0))
    arm = InertArm(kind, kind.ready)
    motions = [arm.run(0.1, linear=(0.0, -LIMITS.linear_speed, 0.0)) for _ in range(60)]
    assert any(motion.reason == "joint_speed" for motion in motions)
    assert arm.least_room()[1] < 1.0


def test_the_hand_is_not_tilted_beyond_its_cone_and_may_turn_about_its_axis():
    kind = with_limits(max_tilt=0.4)
    for axis in ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0)):
        arm = InertArm(kind, kind.ready)
        motion = arm.run(2.5, angular=LIMITS.angular_speed * np.array(axis))
        tilts = [
            np.arccos(-Rotation.from_quat(GEN2.forward(joints)[1]).as_matrix()[2, 2])
            for joints, *_ in arm.history
        ]
        assert max(tilts) < 0.4 and tilts[-1] > 0.3 and motion.reason == "tilt", axis
    turned = arm.run(0.5, angular=(0.0, 0.0, 0.3))
    assert turned.angular[2] == pytest.approx(0.3, abs=0.02)
    assert arm.run(0.3, angular=(0.0, 0.5, 0.0)).reason == "none"


@pytest.mark.parametrize("carries_on", [0.0, 0.135])
def test_whenever_the_loop_stalls_an_arm_that_carries_its_last_twist_on_stays_in_its_workspace(carries_on):
    kind = with_limits()
    kind.vendor = VENDOR._replace(carries_on=carries_on)
    arm, lowest = InertArm(kind, kind.ready), np.inf
    for _ in range(200):
        arm.run(0.01, linear=(0.0, 0.0, -LIMITS.linear_speed))
        # From now on no twist comes: the last one goes on for `carries_on`, then the arm brakes.
        rest = carries_on + np.linalg.norm(arm.velocity[:3]) / (2 * VENDOR.linear_braking)
        lowest = min(lowest, arm.history[-1][2][2] + arm.velocity[2] * rest)
    assert LIMITS.workspace_min[2] < lowest < LIMITS.workspace_min[2] + 2e-3
