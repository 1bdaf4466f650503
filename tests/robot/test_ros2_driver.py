"""`robot:=ros2` without a ROS graph: what its driver sends to its bridges, over the real link."""

import math
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from gr1_robot.arm.backend import load_backend
from gr1_robot.arm.drivers.ros2 import bridge_link as link
from gr1_robot.arm.drivers.ros2.bridges import ROLES

from .test_ros2_arm import FOLDER, HOMES, rig_of, settings_of

HOME = np.array(HOMES["six_joint"])
UP, NOTHING = (np.array([0.0, 0.0, 0.03]), np.zeros(3)), (np.zeros(3), np.zeros(3))


class Wired:
    """The driver; the test is its bridge."""

    def __init__(self, kind: str):
        urdf = FOLDER / "six_joint.urdf"
        settings = settings_of("six_joint", kind, urdf=str(urdf))
        self.backend = load_backend("ros2", rig_of("six_joint"), settings)
        self.backend._load(Path(urdf))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.bridges, self._other = self.backend._bridges, link.BridgeLink(theirs)
        self.bridges._links["bridge"] = link.BridgeLink(ours)
        self.bridges.heard.graphs = {role: {"listeners": 1} for role in ROLES}
        self.tell(HOME)
        self.backend._await_joints()

    def tell(self, joints, age: float = 0.0) -> None:
        """The arm's joints, rad, as the bridge tells them."""
        position = [float(angle) if math.isfinite(angle) else None for angle in joints]
        state = {"names": list(self.backend.joint_names), "position": position, "velocity": [0.0] * 6}
        self.bridges._take("bridge", link.STATE, state | {"at": time.monotonic() - age})

    def tick(self, twist) -> list:
        """What the bridge is sent for one twist."""
        self.backend.read_state()
        self.backend.send_twist(*twist)
        return self.sent()

    def sent(self) -> list:
        return list(iter(self._other.receive, None))


@pytest.mark.parametrize("kind", ["joint_velocity", "twist"])
def test_a_controller_that_keeps_its_last_command_is_told_to_rest_when_the_joints_are_no_numbers(kind):
    wired = Wired(kind)
    assert wired.tick(UP)[-1][0] == link.MOVE
    wired.tell([math.nan, *HOME[1:]])
    assert [what for what, _ in wired.tick(UP)] == [link.REST]


def test_an_arm_that_something_else_has_moved_is_held_where_it_is_and_not_where_it_was():
    wired = Wired("joint_trajectory")
    [(what, content)] = wired.tick(NOTHING)
    assert what == link.MOVE and content["command"]["positions"] == pytest.approx(HOME)
    moved = HOME + np.array([0.6, 0.0, 0.0, 0.0, 0.0, 0.0])
    wired.tell(moved)
    [(_, content)] = wired.tick(NOTHING)
    assert content["command"]["positions"] == pytest.approx(moved)
    assert "something else has moved" in wired.backend.faults()[0]
    assert wired.backend.read_state().commanded.position == pytest.approx(
        wired.backend.read_state().measured.position
    )


def test_an_arm_that_lags_is_still_held_where_it_was_sent():
    wired = Wired("joint_trajectory")
    wired.tell(HOME + np.array([0.02, 0.0, 0.0, 0.0, 0.0, 0.0]))
    [(_, content)] = wired.tick(NOTHING)
    assert content["command"]["positions"] == pytest.approx(HOME) and wired.backend.faults() == []


def test_no_trajectory_is_sent_to_an_arm_whose_joints_are_not_known_any_more():
    wired = Wired("joint_trajectory")
    wired.tell(HOME, age=1.0)
    assert not [what for what, _ in wired.tick(NOTHING) if what == link.MOVE]


def test_clearing_faults_does_not_hold_up_the_loop_and_its_refusal_is_shown():
    wired = Wired("joint_velocity")
    wired.backend.clear_faults()
    [(what, content)] = [message for message in wired.sent() if message[0] == link.CALL]
    assert content["service"] == "reset_service" and wired.backend.faults() == []
    answer = {"number": content["number"], "error": "/reset_arm answers: joint 3 is too hot"}
    wired.bridges._take("bridge", link.ANSWER, answer)
    assert "joint 3 is too hot" in wired.backend.faults()[0]
