"""The real arm node on the stand-in arm, over real ROS 2: commands, the queue, a node that is killed, a
cable, homing.
"""

import signal

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from std_msgs.msg import Float32, Header
from std_srvs.srv import Trigger

from gr1_common.messages import from_pose, to_twist
from gr1_robot.arm.drivers.kinova_gen2.driver import QUEUE_MAX
from tests.support import ros_graph
from tests.support.ros_graph import NodeProcess, PeriodicPublisher

from .bench import until
from .standin import StandIn, sdk

SPEED = 0.05


@pytest.fixture(scope="module")
def ros():
    ros_graph.init_ros()
    ros = ros_graph.RosClient("kinova_gen2_client")
    ros.subscribe("arm/pose", PoseStamped)
    ros.subscribe("arm/commanded_twist", TwistStamped)
    yield ros
    ros.close()


@pytest.fixture
def standin(tmp_path):
    return StandIn(tmp_path)


@pytest.fixture
def start(ros, standin, monkeypatch):
    """Starts the arm node on the stand-in, as often as it is called."""
    started = []

    def start() -> NodeProcess:
        for name, value in standin.environment.items():
            monkeypatch.setenv(name, value)
        before = len(ros.messages("/diagnostics"))
        process = NodeProcess("gr1_robot.arm.node", "robot:=kinova_gen2", f"kinova_gen2.sdk:={sdk()}")
        started.append(process)
        ros.status("arm: gate", after=before)
        return process

    yield start
    for process in started:
        process.end()


@pytest.fixture
def node(start):
    return start()


def call(ros, name: str):
    return ros.call(Trigger, name, Trigger.Request())


def gate(ros, **values: str) -> dict:
    """Waits for a status of the gate with these values that is newer than this call."""
    after = len(ros.messages("/diagnostics"))
    return ros.status(
        "arm: gate",
        lambda status: values.items() <= {item.key: item.value for item in status.values}.items(),
        after,
    )[1]


def twists(ros, linear=(0.0, SPEED, 0.0)):
    """The policy's commands at 10 Hz, as a context."""
    publisher = ros.publisher("command/policy/twist", TwistStamped)

    def command():
        return TwistStamped(
            header=Header(stamp=ros.node.get_clock().now().to_msg()), twist=to_twist(linear, (0.0, 0.0, 0.0))
        )

    return PeriodicPublisher(publisher, command)


def still(standin) -> None:
    """Waits until nothing has been sent for a while that moves the arm, and its queue is done with."""
    until(
        lambda: (
            not any(any(entry.point.v) for entry in standin.points()[-20:]) and standin.advance().waiting <= 1
        ),
        "rest",
    )


def test_it_follows_the_policy_and_the_queue_stays_short(ros, standin, node):
    assert gate(ros)["state"] == "stopped"
    before, _ = standin.fingertips()
    assert call(ros, "arm/reset").success
    gripper = ros.publisher("command/policy/gripper", Float32)
    with twists(ros):
        until(lambda: standin.fingertips()[0][1] > before[1] + 0.02, "motion")
        sent, now = standin.world.sent, standin.points()[-1].at
        gripper.publish(Float32(data=1.0))
        until(
            lambda: standin.points()[-1].at > now + 3.0 and standin.fingertips()[0][1] > before[1] + 0.12,
            "3 s of points, and a way",
        )
        rate = (standin.world.sent - sent) / (standin.points()[-1].at - now)
    still(standin)
    moved = standin.fingertips()[0] - before
    assert rate < 105, "one a tick and never more; a busy computer misses ticks"
    assert standin.world.deepest <= QUEUE_MAX and standin.world.ignored == standin.world.overflowed == 0
    assert np.abs(moved[[0, 2]]).max() < 1e-3
    assert standin.advance().fingers[0] > 5000
    shown = from_pose(ros.until("arm/pose", after=len(ros.messages("arm/pose"))).pose)[0]
    np.testing.assert_allclose(shown, standin.fingertips()[0], atol=1e-3)


def test_killed_in_motion_the_arm_stops_within_the_queue_and_a_new_node_moves_nothing_before_it_is_armed(
    ros, standin, start
):
    node = start()
    assert call(ros, "arm/reset").success
    with twists(ros):
        first = standin.fingertips()[0][1]
        until(lambda: standin.fingertips()[0][1] > first + 0.02, "motion")
        node.send(signal.SIGKILL)
        node.wait()
        at_death, points = standin.fingertips()[0], standin.world.waiting
        until(lambda: standin.advance().waiting == 0, "an empty queue")
        rest = standin.fingertips()[0]
        assert points <= QUEUE_MAX
        assert np.linalg.norm(rest - at_death) <= QUEUE_MAX * 0.01 * SPEED + 1e-6
        start()
        assert gate(ros)["state"] == "stopped"
        np.testing.assert_allclose(standin.fingertips()[0], rest, atol=1e-9)
        assert call(ros, "arm/reset").success
        until(lambda: standin.fingertips()[0][1] > rest[1] + 0.01, "motion")


def test_unplugged_it_stops_says_so_and_after_the_cable_is_back_waits_for_a_person(ros, standin, node):
    assert call(ros, "arm/reset").success
    with twists(ros):
        first = standin.fingertips()[0][1]
        until(lambda: standin.fingertips()[0][1] > first + 0.02, "motion")
        standin.unplug()
        gate(ros, state="stopped", reason="backend_fault")
        assert "the arm is lost" in call(ros, "arm/reset").message
        rest = standin.fingertips()[0]
        standin.plug()
        until(lambda: call(ros, "arm/reset").success, "the arm to be found and the reset to be granted")
        np.testing.assert_allclose(standin.world.measured[:3], standin.world.commanded[:3])
        assert np.linalg.norm(standin.fingertips()[0] - rest) < 0.05
        until(lambda: standin.fingertips()[0][1] > rest[1] + 0.01, "motion")


def test_a_cold_arm_is_homed_by_a_person_stopped_in_between_and_then_armed(ros, standin, start):
    standin.world.retract, standin.world.fingers_known, standin.world.home_s = 6, 0, 1.5
    start()
    before = standin.fingertips()[0]
    with twists(ros):
        assert not call(ros, "arm/reset").success
        assert call(ros, "arm/home").success
        until(lambda: standin.advance().home_begun > 0, "the way home")
        assert call(ros, "arm/stop").success
        until(lambda: standin.advance().home_begun == 0, "rest")
        assert standin.world.retract != 1
        rest = standin.fingertips()[0]
        assert np.linalg.norm(rest - before) > 0
        assert standin.world.sent == 0 or not any(any(entry.point.v) for entry in standin.points())
    still(standin)


def test_a_cold_arm_that_was_homed_takes_commands_after_a_reset(ros, standin, start):
    standin.world.retract, standin.world.fingers_known = 6, 0
    start()
    assert call(ros, "arm/home").success
    until(lambda: standin.advance().retract == 1 and standin.world.cartesian, "homed")
    until(lambda: call(ros, "arm/reset").success, "the reset to be granted")
    home = standin.fingertips()[0]
    with twists(ros, (0.0, 0.0, -SPEED)):
        until(lambda: standin.fingertips()[0][2] < home[2] - 0.01, "motion")


def test_without_an_sdk_the_node_ends_and_says_what_to_give():
    process = NodeProcess("gr1_robot.arm.node", "robot:=kinova_gen2")
    code, output = process.wait()
    assert (
        code == 1
        and "error: kinova_gen2.sdk is empty: give the folder" in output
        and "Traceback" not in output
    )
