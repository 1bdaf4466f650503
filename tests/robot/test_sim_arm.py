"""The simulated arm as the arm node sees it: its hand after a stop, and its injected faults."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core.rig import Rig, RigError
from gr1_core.sim.state import StateView
from gr1_robot.arm import backend as backends
from gr1_robot.arm.drivers.sim.backend import Arm

RIG = Rig.load("kinova_gen2")
STILL = np.zeros(3)


@pytest.fixture(scope="module")
def sim():
    backend = Arm(RIG, "pick_eggplant", 0)
    backend.connect()
    return backend


@pytest.fixture
def arm(sim):
    """At home in a fresh scene, without a fault, the hand open."""
    sim.set_option("fault", "none")
    sim.reset("pick_eggplant", 0)
    return sim


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("linear_speed", 5.0, "limits.linear_speed is 5, .* at most 0.2"),
        ("angular_speed", 1.1, "limits.angular_speed is 1.1, .* at most 1.07"),
        ("linear_acceleration", 100.0, "limits.linear_acceleration is 100, .* at most 0.64"),
        ("angular_acceleration", 9.0, "limits.angular_acceleration is 9, .* at most 2.75"),
        ("stop_time", 3.0, "rest after 3.15 s .* allowed are 0.25 s"),
        ("control_hz", 0.5, "control_hz 0.5 .* rest after 3.05 s"),
    ],
)
def test_a_rig_beyond_what_the_vendor_allows_or_that_stops_late_is_refused_by_name(field, value, words):
    backends.check_rig_limits(RIG, Arm.vendor_limits)
    raw = RIG.to_dict()
    (raw if field in raw else raw["limits"])[field] = value
    with pytest.raises(RigError, match=words):
        backends.check_rig_limits(Rig.from_dict(raw), Arm.vendor_limits)


def test_a_rig_whose_workspace_does_not_hold_the_home_position_is_refused():
    with pytest.raises(backends.ArmError, match="rig 'calvin' .* home position"):
        Arm(Rig.load("calvin"), "pick_eggplant", 0).connect()


def rest(arm, ticks):
    for _ in range(ticks):
        arm.send_twist(STILL, STILL)
    return arm.read_state().closure


def test_fingers_that_are_closing_stay_where_they_were_held(arm):
    arm.send_gripper(1.0)
    while rest(arm, 1) < 0.3:
        pass
    arm.hold_gripper()
    held = arm.read_state().closure
    assert 0.3 <= held < 0.7
    assert rest(arm, 200) == pytest.approx(held, abs=0.1)


def test_fingers_that_have_only_just_been_told_to_close_stay_open(arm):
    rest(arm, 30)
    arm.send_gripper(1.0)
    arm.hold_gripper()
    assert rest(arm, 200) < 0.05


def test_a_hand_that_has_closed_keeps_its_squeeze(arm):
    arm.send_gripper(1.0)
    closed = rest(arm, 400)
    arm.hold_gripper()
    assert rest(arm, 100) == pytest.approx(closed, abs=0.01)
    assert StateView(arm.twin.state()).closure_target == 1.0


def test_an_arm_that_is_stuck_is_asked_to_turn_too(arm):
    arm.set_option("fault", "stuck")
    before = arm.read_state()
    for _ in range(20):
        arm.send_twist(np.array([0.0, 0.1, 0.0]), np.array([0.0, 0.0, 1.0]))
    state = arm.read_state()
    turn = (
        Rotation.from_quat(state.commanded.quaternion) * Rotation.from_quat(before.commanded.quaternion).inv()
    )
    shift, turn = state.commanded.position - before.commanded.position, turn.as_rotvec()
    np.testing.assert_allclose([shift[0], shift[2], turn[0], turn[1]], 0.0, atol=1e-9)
    assert 0.005 < shift[1] < 0.02 and 0.03 < turn[2] < 0.2
    assert np.linalg.norm(state.measured.position - before.measured.position) < 2e-3


def test_it_follows_late_and_brakes_no_harder_than_a_gen2(arm):
    push, positions = np.array([0.0, 0.15, 0.0]), []
    for twist in [push] * 60 + [STILL] * 60:
        arm.send_twist(twist, STILL)
        positions.append(arm.read_state().commanded.position[1])
    speeds = np.diff(positions) / 0.01
    assert np.abs(np.diff(speeds)).max() <= 0.64 * 0.01 + 1e-6
    assert not speeds[:2].any() and speeds[57] == pytest.approx(0.15)
    moving = np.flatnonzero(speeds[59:] > 1e-9)
    assert len(moving) == pytest.approx((0.15 / 0.64 + 0.03) / 0.01, abs=2.0)


def test_an_arm_that_ignores_its_points_says_so_by_a_commanded_pose_that_stands_still(arm):
    arm.set_option("fault", "ignore")
    before = arm.read_state().commanded
    for _ in range(50):
        arm.send_twist(np.array([0.0, 0.1, 0.0]), STILL)
    assert np.linalg.norm(arm.read_state().commanded.position - before.position) < 1e-9
    arm.set_option("fault", "none")
    for _ in range(20):
        arm.send_twist(np.array([0.0, 0.1, 0.0]), STILL)
    assert arm.read_state().commanded.position[1] > before.position[1] + 0.002
