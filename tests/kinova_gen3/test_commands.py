"""What is commanded in metres, radians and the base frame is what a Gen3 does, whatever its own tool
point.
"""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import GEN3_GRIP, gen3
from gr1_robot.arm.drivers.kinova_gen3 import driver
from gr1_robot.arm.drivers.kinova_gen3.backend import HOME
from gr1_robot.arm.drivers.kinova_gen3.units import Tool, joint_angles
from tests.support.waiting import eventually

from .arm import BASE, TOOL
from .drive import Drive

TOOLS = {
    "as the vendor sets it": (0.0, 0.0, TOOL, 0.0, 0.0, 0.0),
    "none": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "turned and to the side": (0.02, -0.01, 0.16, 0.0, 30.0, 90.0),
}
TWISTS = [
    ((0.1, 0, 0), (0, 0, 0)),
    ((0, 0.1, 0), (0, 0, 0)),
    ((0, 0, -0.1), (0, 0, 0)),
    ((0, 0, 0), (0.5, 0, 0)),
    ((0, 0, 0), (0, 0.5, 0)),
    ((0, 0, 0), (0, 0, -0.5)),
    ((0.05, -0.05, 0.02), (0.3, -0.4, 0.5)),
]


def place(arm, tool, hand):
    """The arm at home, its hand turned by `hand`, with that tool point."""
    arm.tool = tool
    flange, quaternion = gen3(0.0).forward(np.radians(HOME))
    turned = hand * Rotation.from_quat(quaternion)
    arm.position = flange + turned.apply(tool[:3])
    arm.rotation = turned * Rotation.from_euler("xyz", tool[3:], degrees=True)


def fingertips(arm, tool):
    """Where they are, worked out from the tool point by going back to the flange."""
    position, rotation = arm.pose()
    flange = rotation * Rotation.from_euler("xyz", tool[3:], degrees=True).inv()
    return position - flange.apply(tool[:3]) + flange.apply((0, 0, GEN3_GRIP)), flange


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
@pytest.mark.parametrize(
    "hand", [Rotation.identity(), Rotation.from_rotvec((0.5, -0.3, 0.8))], ids=["hand down", "hand askew"]
)
def test_the_fingertips_move_as_commanded_in_the_base_frame(arm, make, tool, hand):
    place(arm, tool, hand)
    backend = make()
    backend.connect()
    for linear, angular in TWISTS:
        before, turned_before = fingertips(arm, tool)
        calls = len(arm.log)
        with Drive(backend, linear, angular):
            started = arm.until(
                lambda arm, n=calls: next((e for e in arm.log[n:] if e.what == "SendTwistCommand"), None)
            )
            arm.until(lambda arm, at=started.at: arm.log and at + 0.5 < arm._now)
        lasted = arm.rests(started.at).at - started.at
        arm.until(lambda arm: arm.at_rest)  # it brakes as long as it accelerated
        after, turned_after = fingertips(arm, tool)
        assert arm.calls("SendTwistCommand")[-1].detail.reference_frame == BASE
        np.testing.assert_allclose(
            after - before, lasted * np.array(linear), atol=3e-3, err_msg=f"{linear} m/s"
        )
        turn = (turned_after * turned_before.inv()).as_rotvec()
        np.testing.assert_allclose(turn, lasted * np.array(angular), atol=1e-2, err_msg=f"{angular} rad/s")


def test_angular_velocities_are_sent_in_degrees_a_second(arm, connected):
    with Drive(connected, (0, 0, 0), (0, 0, 0.5)):
        twist = arm.until(
            lambda arm: next((e.detail.twist for e in arm.log if e.what == "SendTwistCommand"), None)
        )
    assert twist.angular_z == pytest.approx(np.degrees(0.5), rel=1e-6)


def test_the_state_is_that_of_the_fingertips_in_our_units(arm, make):
    arm.wrench = (1.0, -2.0, 3.0, 0.1, 0.2, -0.3)
    backend = make()
    backend.connect()
    state = backend.read_state()
    tips, rotation = fingertips(arm, arm.tool)
    np.testing.assert_allclose(state.commanded.position, tips, atol=1e-6)
    np.testing.assert_allclose(state.measured.position, tips - (0, 0, arm.sag), atol=1e-6)
    assert (Rotation.from_quat(state.commanded.quaternion) * rotation.inv()).magnitude() < 1e-5
    np.testing.assert_allclose(state.joints, joint_angles(HOME), atol=1e-6)
    np.testing.assert_allclose(state.joint_velocities, np.radians(np.ones(7)), rtol=1e-6)
    np.testing.assert_allclose(state.force, arm.wrench[:3], rtol=1e-6)
    np.testing.assert_allclose(state.torque, arm.wrench[3:], rtol=1e-6)
    # The pose of the controller and the pose of our own kinematics are one.
    np.testing.assert_allclose(gen3().forward(state.joints)[0], tips, atol=1e-6)


def test_an_arm_whose_estimate_of_forces_drifts_may_be_told_not_to_report_it(make):
    backend = make(wrench=False)
    backend.connect()
    assert backend.read_state().force is None and backend.read_state().torque is None


def test_joint_angles_are_those_that_the_limits_are_about():
    np.testing.assert_allclose(
        np.degrees(joint_angles([0, 90, 179, 181, 270, 359.5])), [0, 90, 179, -179, -90, -0.5]
    )


def test_a_lever_arm_is_in_the_tools_frame_not_in_the_bases():
    tool = Tool((0, 0, 0.1), (0, 0, 0), flange_to_fingertips=0.3)
    tips = tool.fingertips((0.4, 0, 0.5), (180, 0, 0))
    np.testing.assert_allclose(tips.position, (0.4, 0, 0.3), atol=1e-12)
    linear, angular = tool.twist(np.zeros(3), np.array([0, 1.0, 0]), tips)
    # Turning about the base's y while the fingertips stay: the tool point, 0.2 m above them, goes along +x.
    np.testing.assert_allclose(linear, (0.2, 0, 0), atol=1e-12)
    np.testing.assert_allclose(angular, (0, np.degrees(1.0), 0))


def test_more_than_forty_twists_a_second_are_not_sent(arm, connected):
    with Drive(connected, (0.02, 0, 0)) as drive:
        for step in range(60):
            drive.twist = np.array([0.02 + 1e-4 * step, 0, 0]), np.zeros(3)
            arm.until(lambda arm, at=arm._now: arm._now > at)
        arm.until(lambda arm: len(arm.calls("SendTwistCommand")) > 10)
    sent = [entry.at for entry in arm.calls("SendTwistCommand") if entry.detail.twist.linear_x]
    assert (sent[-1] - sent[0]) / (len(sent) - 1) >= 0.025 * 0.9


def test_the_gripper_goes_where_it_is_asked_to_and_says_where_it_is(arm, connected):
    with Drive(connected):
        for closure in (1.0, 0.25, 0.0):
            connected.send_gripper(closure)
            command = arm.until(
                lambda arm, c=closure: arm.closure == c and arm.calls("SendGripperCommand")[-1].detail
            )
            assert command.gripper.finger[0].finger_identifier == 1
            arm.until(lambda arm, c=closure: abs(connected.read_state().closure - c) < 1e-6)


def test_fingers_that_are_told_to_hold_stay_where_they_are(arm, connected):
    arm.finger_speed = 0.3
    with Drive(connected):
        connected.send_gripper(1.0)
        arm.until(lambda arm: arm.closure > 0.2)
        connected.hold_gripper()
        held = arm.until(
            lambda arm: len(arm.calls("SendGripperCommand")) == 2 and arm.calls("SendGripperCommand")[-1]
        )
        assert 0.1 < held.detail.gripper.finger[0].value < 0.6
        arm.until(lambda arm: arm._now > held.at + 0.5)
        assert arm.closure == pytest.approx(held.detail.gripper.finger[0].value)
        # The same command as before is a new one.
        connected.send_gripper(1.0)
        arm.until(lambda arm: len(arm.calls("SendGripperCommand")) == 3 and arm.closure == 1.0)


def test_a_hand_that_no_longer_says_where_it_is_is_sent_nothing_that_is_no_number(arm, connected):
    connected.send_gripper(1.0)
    eventually(lambda: arm.calls("SendGripperCommand"), "the first command")
    arm.motors = 0
    eventually(lambda: np.isnan(connected.read_state().closure), "a state without a gripper")
    connected.hold_gripper()
    seen = connected.read_state().at
    eventually(lambda: connected.read_state().at > seen + 0.2, "some more steps")
    sent = [call.detail.gripper.finger[0].value for call in arm.calls("SendGripperCommand")]
    assert sent == [1.0]


def test_faults_with_ever_new_numbers_do_not_fill_the_memory_and_a_log_that_is_gone_ends_nothing(
    make, monkeypatch
):
    """The reader of standard error has ended: a write fails."""

    class Gone(io.StringIO):
        def write(self, _):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    clock = [0.0]
    monkeypatch.setattr(driver, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    one = make().driver
    for number in range(500):
        clock[0] += 0.01
        one._add_fault(f"a pose that is not finite: {number}")
    assert f"{499}" in one.faults()[-1] and len(one._recent_faults) < 120
