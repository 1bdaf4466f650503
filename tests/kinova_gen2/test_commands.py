"""What is asked of the point between the fingertips arrives there: units, frames, fingers. The arm integrates
the points it gets.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import GEN2_GRIP, GEN2_HAND, gen2

from .bench import Bench
from .standin import JOINTS, vendor_pose

X, Y, Z = np.eye(3)
TILTED = (150.0, 220.0, 60.0, 100.0, 140.0, 120.0, 200.0)
"""Joint angles in degrees with the hand in no special direction."""
TICKS = 200


@pytest.fixture(params=["down", "tilted"])
def hand(request, bench):
    """The bench, the hand pointing down or in no special direction."""
    if request.param == "tilted":
        bench.standin.world.commanded[:] = bench.standin.world.measured[:] = vendor_pose(TILTED)
        bench.settle()
    return bench


@pytest.mark.parametrize(
    ("linear", "angular"),
    [
        pytest.param(0.05 * X, 0 * X, id="x"),
        pytest.param(0.05 * Y, 0 * X, id="y"),
        pytest.param(-0.05 * Z, 0 * X, id="down"),
        pytest.param(0 * X, 0.5 * X, id="turn about x"),
        pytest.param(0 * X, -0.5 * Y, id="turn about y"),
        pytest.param(0 * X, 0.5 * Z, id="turn about z"),
        pytest.param(0.03 * X - 0.02 * Z, 0.2 * X + 0.3 * Y - 0.1 * Z, id="all at once"),
    ],
)
def test_the_fingertips_move_as_commanded_in_the_base_frame(hand, linear, angular):
    before, turned = hand.standin.fingertips()
    hand.drive(TICKS, linear, angular)
    after, now = hand.standin.fingertips()
    np.testing.assert_allclose(after - before, linear * TICKS * 0.01, atol=8e-4)
    turn = Rotation.from_quat(now) * Rotation.from_quat(turned).inv()
    np.testing.assert_allclose(turn.as_rotvec(), angular * TICKS * 0.01, atol=2e-3)


def test_translation_goes_out_in_the_base_frame_and_rotation_in_the_hands(bench):
    bench.tick((0.01, 0.02, 0.03), (0.1, 0.2, 0.3))
    sent = bench.standin.points()[-1].point
    turn = Rotation.from_quat(vendor_pose(JOINTS)[3:])
    arm = turn.apply((0.0, 0.0, GEN2_GRIP - GEN2_HAND))
    np.testing.assert_allclose(
        sent.v[:3], np.array((0.01, 0.02, 0.03)) - np.cross((0.1, 0.2, 0.3), arm), atol=1e-6
    )
    np.testing.assert_allclose(sent.v[3:], turn.inv().apply((0.1, 0.2, 0.3)), atol=1e-6)
    np.testing.assert_allclose(
        sent.v[3:], (0.1, -0.2, -0.3), atol=1e-3
    )  # the hand points down: its z is the base's -z
    assert sent.type == 7  # Cartesian velocity


def test_another_tool_offset_turns_about_another_point(standin):
    bench = Bench(standin, tool_offset=0.0)
    bench.connect()
    try:
        before = np.array(standin.world.measured[:3])
        bench.drive(TICKS, angular=0.5 * X)
        np.testing.assert_allclose(standin.advance().measured[:3], before, atol=1e-6)
        np.testing.assert_allclose(bench.arm.read_state().measured.position, before, atol=1e-6)
    finally:
        bench.close()


def test_a_zero_twist_is_sent_too_and_holds(bench):
    before = list(bench.standin.world.commanded)
    sent = bench.standin.world.sent
    bench.drive(50)
    assert bench.standin.world.sent == sent + 50
    assert all(
        not any(entry.point.v) and not any(entry.point.fingers) for entry in bench.standin.points()[-50:]
    )
    assert list(bench.standin.world.commanded) == before


@pytest.mark.parametrize("offset", [0.022, 0.1])
def test_the_jacobian_is_that_of_the_point_that_the_tool_offset_names(standin, offset):
    arm = Bench(standin, tool_offset=offset).arm
    chain, joints, step = gen2(GEN2_HAND + offset), np.radians(JOINTS), 1e-6
    ahead, behind = (
        np.array([chain.forward(joints + sign * step * axis)[0] for axis in np.eye(7)]) for sign in (1, -1)
    )
    np.testing.assert_allclose(arm.jacobian(joints)[:3].T, (ahead - behind) / (2 * step), atol=1e-6)


def test_the_pose_is_that_of_the_fingertips(hand):
    position, quaternion = hand.standin.fingertips()
    state = hand.arm.read_state()
    for pose in (state.measured, state.commanded):
        np.testing.assert_allclose(pose.position, position, atol=1e-6)
        assert abs(pose.quaternion @ quaternion) == pytest.approx(1.0, abs=1e-6)


def test_measured_and_commanded_poses_are_told_apart(bench):
    start = bench.arm.read_state().measured.position
    bench.standin.world.held = 1
    bench.drive(50, 0.05 * Y)
    state = bench.arm.read_state()
    np.testing.assert_allclose(state.measured.position, start, atol=1e-6)
    np.testing.assert_allclose(state.commanded.position, start + 0.025 * Y, atol=1e-6)


def test_joints_velocities_force_and_torque_come_in_si_units(bench):
    world = bench.standin.world
    world.joints[:] = (10, 90, -20, 180, 400, 270, 359)
    world.joint_velocities[:] = (36, -36, 0, 1, -1, 48, -48)
    world.force[:] = (1, -2, 30, 0.1, 0.2, -0.3)
    state = bench.until(
        lambda state: state.force[2] == 30 and state.joint_velocities[5] != 0 and state.joints[0] < 1,
        "new values",
    )
    np.testing.assert_allclose(state.joints, np.radians((10, 90, -20, 180, 400, 270, 359)), atol=1e-5)
    np.testing.assert_allclose(state.joint_velocities, np.radians((36, -36, 0, 1, -1, 48, -48)), atol=1e-5)
    np.testing.assert_allclose(state.force, (1, -2, 30), atol=1e-5)
    np.testing.assert_allclose(state.torque, (0.1, 0.2, -0.3), atol=1e-5)


def test_a_negative_joint_velocity_may_come_as_360_minus_its_size(bench):
    bench.standin.world.joint_velocities[0] = 2 * (360 - 5)
    state = bench.until(lambda state: state.joint_velocities[0] != 0, "a new value")
    assert state.joint_velocities[0] == pytest.approx(np.radians(-10), abs=1e-5)


@pytest.mark.parametrize("linear", [0 * X, 0.05 * Y], ids=["holding", "moving"])
def test_the_fingers_close_and_open_while_the_arm(bench, linear):
    before, _ = bench.standin.fingertips()
    for closure in (1.0, 0.3):
        bench.arm.send_gripper(closure)
        ticks = 0
        while abs(bench.tick(linear).closure - closure) > 0.005:
            ticks += 1
            assert ticks < 400, "4 s are enough for any way of the fingers"
    ticks = bench.standin.advance().consumed
    moved = bench.standin.fingertips()[0] - before
    np.testing.assert_allclose(moved, linear * ticks * 0.01, atol=2e-3)


def test_fingers_never_exceed_their_speed_and_are_at_rest_when_there(bench):
    bench.arm.send_gripper(1.0)
    bench.drive(400)
    speeds = [max(entry.point.fingers) for entry in bench.standin.points()]
    assert max(speeds) == 4000.0
    assert bench.standin.points()[-1].point.fingers[:] == [0.0, 0.0, 0.0]
    assert all(entry.point.hand_mode == 2 for entry in bench.standin.points())


def test_an_object_stops_the_fingers_which_go_on_pressing(bench):
    bench.standin.world.finger_stop = 4000.0
    bench.arm.send_gripper(1.0)
    bench.drive(200)
    assert bench.arm.read_state().closure == pytest.approx(4000 / 6800, abs=1e-3)
    assert min(bench.standin.points()[-1].point.fingers) > 0


def test_held_fingers_stand_still_while_the_arm_moves_and_take_up_again_when_told(bench):
    bench.arm.send_gripper(1.0)
    bench.drive(50, 0.05 * Y)
    held = list(bench.standin.world.fingers)
    assert 1000 < held[0] < 5800, "half way"
    bench.arm.hold_gripper()
    bench.drive(50, 0.05 * Y)
    assert list(bench.standin.world.fingers) == held
    assert not any(any(entry.point.fingers) for entry in bench.standin.points()[-50:])
    bench.arm.send_gripper(1.0)
    bench.drive(200, 0.05 * Y)
    assert min(bench.standin.world.fingers) > 6500


def test_no_finger_moves_before_it_is_told(bench):
    bench.standin.world.fingers[:] = (1000, 1000, 1000)
    bench.drive(20)
    assert list(bench.standin.advance().fingers) == [1000, 1000, 1000]
