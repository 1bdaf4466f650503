"""The gate and the arm behind its hand: no part of it goes below the table, and motion that stays
above is free.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_common.conventions import TICK
from gr1_core.kinematics import GEN2, GEN2_BODY, GEN3_BODY, gen3
from gr1_core.pose import Pose
from gr1_robot.arm.backend import ArmState, BodyHeights

from .plant import LIMITS, gate, least_squares

READY = np.radians([171.5, 201.9, 32.9, 89.9, 167.7, 108.4, 296.4])
PARTS = tuple(point.name for point in GEN2_BODY)


class BodyArm:
    """A Gen2 whose joints divide each twist by least squares; the gate sees its body, unless it is blind."""

    def __init__(self, joints, lag=0, blind=False):
        self.gate, self.now, self.blind = gate(joint_limits=GEN2.limits), 100.0, blind
        self.trail = [np.array(joints, float)] * (lag + 1)
        self.lowest = np.inf

    @property
    def tip(self):
        return GEN2.forward(self.trail[-1])[0]

    def tick(self):
        measured = self.trail[0]
        heights = BodyHeights(PARTS, *GEN2.heights(measured, GEN2_BODY))
        state = ArmState(
            Pose(*GEN2.forward(measured)),
            Pose(*GEN2.forward(self.trail[-1])),
            measured,
            np.zeros(7),
            0.0,
            self.now,
        )
        body = None if self.blind else heights
        motion = self.gate.tick(self.now, state, GEN2.jacobian(measured), (), body)
        twist = np.concatenate([motion.linear, motion.angular])
        rates = least_squares(GEN2.jacobian(self.trail[-1]), twist)
        self.trail = [*self.trail[1:], self.trail[-1] + rates * TICK]
        self.now += TICK
        self.lowest = min(self.lowest, heights.above.min())
        return motion

    def run(self, seconds, linear=(0.0, 0.0, 0.0), angular=(0.0, 0.0, 0.0)):
        for index in range(round(seconds / TICK)):
            if index % 10 == 0:
                self.gate.submit_command("policy", linear, angular, self.now)
            motion = self.tick()
        return motion


def low_over_the_table(x, y, yaw):
    """Joints with the hand down and the fingertips 30 mm above the table."""
    joints = READY.copy()
    aim = Rotation.from_rotvec([0.0, 0.0, yaw]) * Rotation.from_quat([1.0, 0.0, 0.0, 0.0])
    for _ in range(400):
        position, quaternion = GEN2.forward(joints)
        turn = (aim * Rotation.from_quat(quaternion).inv()).as_rotvec()
        error = np.concatenate([np.array([x, y, 0.030]) - position, turn])
        joints = joints + least_squares(GEN2.jacobian(joints), np.clip(error, -0.05, 0.05))
    assert np.linalg.norm(error) < 1e-3
    return joints


STARTS = [(x, y, 0.0) for x in (0.30, 0.45) for y in (-0.2, 0.1)]
TURNS = [sign * axis for axis in np.eye(3) for sign in (-1.0, 1.0)]


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_turns_in_place_never_put_a_part_of_the_arm_below_the_table(start):
    joints = low_over_the_table(*start)
    for turn in TURNS:
        arm = BodyArm(joints)
        arm.run(2.5, angular=LIMITS.angular_speed * turn)
        assert arm.lowest > -2e-3, (turn, arm.lowest)


def test_a_gate_that_does_not_watch_the_body_lets_some_of_them_through():
    lowest = []
    for start in STARTS[:2]:
        joints = low_over_the_table(*start)
        for turn in TURNS:
            arm = BodyArm(joints, blind=True)
            arm.run(2.5, angular=LIMITS.angular_speed * turn)
            lowest.append(arm.lowest)
    assert min(lowest) < -0.03


@pytest.mark.parametrize("lag", [0, 3, 6])
def test_also_an_arm_that_lags_behind_stays_above_it(lag):
    joints = low_over_the_table(*STARTS[0])
    for turn in TURNS[:4]:
        arm = BodyArm(joints, lag)
        arm.run(2.5, angular=LIMITS.angular_speed * turn)
        assert arm.lowest > -5e-3


def test_near_the_table_the_part_is_named_and_the_way_back_is_free():
    for turn in TURNS:
        arm = BodyArm(low_over_the_table(*STARTS[0]))
        motion = arm.run(2.5, angular=LIMITS.angular_speed * turn)
        if motion.reason == "table":
            break
    assert motion.reason == "table" and "above the table" in motion.detail
    assert any(name in motion.detail for name in PARTS)
    tilted = arm.trail[-1]
    arm.run(0.5, angular=-LIMITS.angular_speed * turn)
    assert np.linalg.norm(arm.trail[-1] - tilted) > 0.1
    up = arm.tip[2]
    assert arm.run(0.5, linear=(0.0, 0.0, LIMITS.linear_speed)).linear[2] > 0.0 and arm.tip[2] > up + 0.05


def test_with_the_hand_down_the_table_is_reached_as_before():
    arm = BodyArm(READY)
    arm.run(3.0, linear=(0.0, 0.0, -LIMITS.linear_speed))
    assert arm.tip[2] == pytest.approx(LIMITS.workspace_min[2], abs=2e-3)
    assert arm.gate.counts["table"] == 0


@pytest.mark.parametrize(("chain", "body"), [(GEN2, GEN2_BODY), (gen3(), GEN3_BODY)], ids=["Gen2", "Gen3"])
def test_how_the_heights_change_is_their_derivative(chain, body):
    joints, step = READY + 0.1, 1e-6
    ahead, behind = (
        np.array([chain.heights(joints + sign * step * axis, body)[0] for axis in np.eye(7)])
        for sign in (1, -1)
    )
    np.testing.assert_allclose(chain.heights(joints, body)[1], ((ahead - behind) / (2 * step)).T, atol=1e-6)


def test_the_wrist_camera_is_where_the_simulated_one_is():
    from gr1_core.sim.kinova import WRIST_CAMERA_POSITION

    position, quaternion = GEN2.forward(READY)
    camera = position + Rotation.from_quat(quaternion).apply(WRIST_CAMERA_POSITION)
    (index,) = (i for i, point in enumerate(GEN2_BODY) if point.name == "wrist camera")
    lowest = GEN2.heights(READY, GEN2_BODY)[0][index]
    assert lowest + GEN2_BODY[index].radius == pytest.approx(camera[2], abs=1e-3)
