"""`robot:=ros2`: two arms of other kinematics behind a controller in its own process, over real topics."""

import dataclasses
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from gr1_common.conventions import STOPPED, TICK
from gr1_core.rig import Rig
from gr1_core.urdf_arm import load_arm
from gr1_robot.arm.backend import ArmError, backend_options, load_backend
from gr1_robot.arm.controller import ArmController
from tests.kinova_gen3.drive import Drive
from tests.robot.controller_stand_in import ARMS
from tests.support.ros_graph import NodeProcess
from tests.support.waiting import eventually

FOLDER = Path(__file__).parent / "arms"
UP, STILL = (0.0, 0.0, 0.03), 0.002  # m/s; m/s below which an arm counts as resting
HOMES = {"six_joint": [0.0, 0.5, 1.2, -0.15, 0.0, 0.0], "five_joint": [0.0] * 5}


def rig_of(name: str) -> Rig:
    """The Kinova's rig with a workspace around the arm's start."""
    base, tip, start = ARMS[name]
    hand, _ = load_arm((FOLDER / f"{name}.urdf").read_text(), base, tip).chain.forward(start)
    rig = Rig.load("kinova_gen2")
    limits = dataclasses.replace(
        rig.limits, workspace_min=tuple(hand - 0.15), workspace_max=tuple(hand + 0.15)
    )
    return dataclasses.replace(rig, limits=limits)


def settings_of(name: str, kind: str, **changes) -> dict:
    base, tip, _ = ARMS[name]
    defaults = {option.name: option.default for option in backend_options("ros2")}
    return defaults | {
        "base_link": base, "tip_link": tip, "command_type": kind, "command_topic": "/commands",
        "gripper_type": "float32", "gripper_topic": "/gripper", "gripper_joint": "finger",
        "reset_service": "/reset_arm", "home": HOMES[name], "table_height": -1.0,
    } | changes  # fmt: skip


class Setup:
    """An arm with its controller, connected; it is driven without the gate."""

    def __init__(self, name: str, kind: str):
        self.controller = NodeProcess(
            "tests.robot.controller_stand_in",
            code="import sys; from tests.robot import controller_stand_in as made; "
            f"sys.argv = ['', {str(FOLDER / f'{name}.urdf')!r}, {kind!r}]; made.main()",
        )
        self.controller.until("controller is up")
        self.backend = load_backend("ros2", rig_of(name), settings_of(name, kind))
        try:
            self.backend.connect()
        except BaseException:
            self.controller.end()
            raise

    def place(self) -> np.ndarray:
        pose = eventually(lambda: self.backend.read_state().measured, "a state of the arm")
        return pose.position

    def rests(self) -> bool:
        """Whether the hand is slower than STILL, by the newest joint state."""
        state = self.backend.read_state()
        return bool(np.abs(self.backend.jacobian(state.joints)[:3] @ state.joint_velocities).max() < STILL)

    def close(self) -> None:
        self.backend.close()
        self.controller.end()


@pytest.fixture(
    scope="module", params=["six_joint-joint_velocity", "five_joint-joint_trajectory", "six_joint-twist"]
)
def arm(request):
    setup = Setup(*request.param.split("-"))
    yield setup
    setup.close()


def drive(setup: Setup, linear, distance: float) -> np.ndarray:
    """Drives until the hand is so far away; returns the way from start to rest, f64[3] m."""
    start = setup.place()
    with Drive(setup.backend, linear):
        eventually(lambda: np.linalg.norm(setup.place() - start) > distance, "the hand moves")
    eventually(setup.rests, "the hand rests")
    return setup.place() - start


def test_connecting_moves_nothing_and_reads_the_joints_by_name(arm):
    state = arm.backend.read_state()
    assert len(state.joints) == len(arm.backend.joint_names)
    np.testing.assert_allclose(state.joints, arm.backend._settings["home"], atol=1e-6)
    assert arm.backend.faults() == [] and arm.backend.body is not None


def test_the_hand_goes_where_the_twist_says_and_rests_after_it(arm):
    for direction in np.eye(3)[[2, 0]]:
        way = drive(arm, 0.03 * direction, 0.01)
        assert way @ direction > 0.009
        assert np.linalg.norm(way - (way @ direction) * direction) < 0.003
        drive(arm, -0.03 * direction, 0.009)


def test_the_gripper_takes_its_own_values(arm):
    arm.backend.send_gripper(0.5)
    eventually(lambda: abs(arm.backend.read_state().closure - 0.5) < 1e-6, "the gripper is half closed")
    arm.backend.send_gripper(0.0)


def test_faults_are_cleared_by_the_arms_own_service(arm):
    arm.backend.clear_faults()
    arm.controller.until("reset 1")
    assert arm.backend.faults() == []


def test_a_killed_bridge_leaves_the_arm_at_rest_and_is_started_again(arm):
    backend = arm.backend
    bridge = backend._bridges._processes["bridge"].pid
    with Drive(backend, UP):
        start = arm.place()
        eventually(lambda: np.linalg.norm(arm.place() - start) > 0.005, "the hand moves")
        os.kill(bridge, signal.SIGKILL)
        eventually(lambda: backend.faults(), "the loss is noticed")
        assert "ROS bridge of the arm" in backend.faults()[0] and backend.read_state().measured is None
        backend_twist = np.zeros(3)
    backend.send_twist(backend_twist, backend_twist)
    eventually(lambda: not backend.faults(), "a new bridge")
    assert backend._bridges._processes["bridge"].pid != bridge
    eventually(arm.rests, "the hand rests")


def test_a_frozen_motion_process_leaves_the_arm_at_rest(arm):
    """The bridges notice the silence: nobody sends rest here."""
    driving = Drive(arm.backend, UP)
    with driving:
        start = arm.place()
        eventually(lambda: np.linalg.norm(arm.place() - start) > 0.005, "the hand moves")
        driving.freeze()
    eventually(lambda: arm.backend.read_state() is not None and arm.rests(), "the hand rests")
    drive(arm, (0.0, 0.0, -0.03), 0.01)


def test_behind_the_gate_a_command_that_is_not_repeated_ends(arm):
    controller = ArmController(arm.backend._rig, arm.backend, True)
    start, began = arm.place(), time.monotonic()
    while time.monotonic() - began < 0.6:
        if time.monotonic() - began < 0.3:
            controller.submit_command("policy", np.array(UP), np.zeros(3), time.monotonic(), 0, "")
        snapshot = controller.step()
        time.sleep(TICK)
    assert snapshot.motion.state != STOPPED, snapshot.motion
    assert arm.place()[2] > start[2] + 0.002 and arm.rests()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"tip_link": "tool9"}, "there is no link 'tool9'"),
        ({"home": [0.0]}, "ros2.home is \\[0.0\\], expected an angle in rad for each of the joints pan"),
        ({"urdf": "/nowhere.urdf"}, "ros2.urdf: /nowhere.urdf cannot be read"),
        ({"command_topic": ""}, "ros2.command_topic is empty"),
        ({"gripper_closed": 0.0}, "must differ"),
        ({"command_joints": ["pan", "tilt"]}, "ros2.command_joints and the URDF's joints .* differ"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(changes, message):
    settings = settings_of("six_joint", "joint_velocity", urdf=str(FOLDER / "six_joint.urdf")) | changes
    with pytest.raises(ArmError, match=message):
        load_backend("ros2", rig_of("six_joint"), settings).connect()
