"""The simulated stack: rest within 250 ms after a camera or the policy is killed; what viewers find."""

import os
import signal

import numpy as np
import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rcl_interfaces.srv import ListParameters
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

from gr1_bringup import stack
from gr1_bringup.processes import Processes, environment
from gr1_common import messages, qos
from gr1_core.view.messages import TOPICS
from tests.support.ros_graph import SpinningNodes
from tests.support.waiting import eventually
from tests.view import foxglove

_NOT_THERE = ("/recorder/state", "/instruction")
"""Topics of nodes that this stack lacks: the recorder, and who gives instructions."""


class Watch:
    """The stack's nodes as processes, and what is heard of them; stamps in seconds."""

    def __init__(self, folder):
        self.chosen = stack.settings(checkpoint="untrained")
        self.nodes = {node.name: node for node in stack.nodes(self.chosen)}
        self.processes = Processes(folder, environment(folder))
        self.processes.start(self.nodes.values())
        self._spinning = SpinningNodes()
        self.node = rclpy.create_node("watch", context=self._spinning.context)
        self.commanded, self.sent, self.frames, self.statuses = [], [], [], {}
        self.node.create_subscription(
            TwistStamped, "arm/commanded_twist", lambda m: self.commanded.append(_timed(m)), qos.SENSOR
        )
        self.node.create_subscription(
            TwistStamped, "command/policy/twist", lambda m: self.sent.append(_timed(m)), qos.COMMAND
        )
        self.node.create_subscription(
            CameraInfo, "camera/static/camera_info", lambda m: self.frames.append(_stamp(m)), qos.SENSOR
        )
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._heard, 50)
        self._home = self.node.create_client(Trigger, "sim/reset")
        self._spinning.start(self.node)

    def _heard(self, message):
        self.statuses |= {status.name: status for status in message.status}

    def restart(self, name):
        self.processes.start([self.nodes[name]])

    def kill(self, name):
        process = next(
            process for process in self.processes.all if process.name == name and process.exit_code is None
        )
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda: process.exit_code is not None, "the end of a killed process")

    def at_home(self):
        """A fresh table, so that there is room to move."""
        assert self._home.wait_for_service(30)
        done = self._home.call_async(Trigger.Request())
        eventually(done.done, "sim/reset")

    def moving(self):
        eventually(lambda: self.commanded and self.commanded[-1][1] > 0, "a moving arm", 150)

    def close(self):
        self._spinning.close()
        self.processes.stop()


def _stamp(message) -> float:
    return messages.seconds(message.header.stamp)


def _timed(message) -> tuple[float, float]:
    """Stamp, and the sum of all speeds."""
    return _stamp(message), float(np.abs(np.concatenate(messages.from_twist(message.twist))).sum())


@pytest.fixture(scope="module")
def watch(tmp_path_factory):
    watching = Watch(tmp_path_factory.mktemp("stack"))
    yield watching
    watching.close()


def moved_on(watch, last) -> float:
    """Seconds for which the arm still moved after the stamp `last()`, the last one that its killed sender
    has given.
    """
    eventually(lambda: watch.commanded[-1][0] > last() + 0.4, "what the arm did in the next 400 ms")
    return max(stamp for stamp, speed in watch.commanded if speed > 0) - last()


def at_rest(watch):
    """The next 50 ticks of the gate, half a second, let nothing through."""
    watch.commanded.clear()
    eventually(lambda: len(watch.commanded) > 50, "the arm")
    assert not any(speed for _, speed in watch.commanded), "the arm moved although nobody may move it"


def test_every_parameter_that_the_stack_sets_is_one_that_its_node_has(watch):
    for node in watch.nodes.values():
        file = yaml.safe_load((stack.share() / "config" / node.config).read_text())["/**"]["ros__parameters"]
        client = watch.node.create_client(ListParameters, f"{node.name}/list_parameters")
        assert client.wait_for_service(60)
        answer = client.call_async(ListParameters.Request())
        eventually(answer.done, f"the parameters of {node.name}", 150)
        assert set(node.parameters) | set(file) <= set(answer.result().result.names)


def test_a_camera_killed_in_motion_brings_the_arm_to_rest_until_it_is_back(watch):
    eventually(lambda: watch.commanded, "the arm", 90)
    watch.at_home()
    watch.moving()
    watch.kill("camera_static")
    assert moved_on(watch, lambda: watch.frames[-1]) < 0.25
    status = eventually(
        lambda: (s := watch.statuses.get("policy: inputs")) and s.level != b"\0" and s,
        "a fault on /diagnostics",
    )
    assert "static camera" in status.message
    at_rest(watch)
    watch.restart("camera_static")
    watch.moving()


def test_the_policy_killed_in_motion_brings_the_arm_to_rest_until_it_is_back(watch):
    watch.at_home()
    watch.moving()
    watch.kill("policy")
    assert moved_on(watch, lambda: watch.sent[-1][0]) < 0.25
    at_rest(watch)
    watch.restart("policy")
    watch.moving()


def test_every_topic_that_viewers_name_is_published_with_its_type(watch):
    """Those of `gr1 view` and of the layout for Foxglove."""
    wanted = {f"/{name}": kind for name, kind in TOPICS.items()} | foxglove.TYPES
    assert foxglove.topics() <= set(wanted)
    for topic in set(wanted) - set(_NOT_THERE):
        found = eventually(lambda topic=topic: watch.node.get_publishers_info_by_topic(topic), topic, 200)
        assert {one.topic_type for one in found} == {wanted[topic]}, topic
    heard = watch.node.get_subscriptions_info_by_topic("/instruction")
    assert {one.topic_type for one in heard} == {wanted["/instruction"]}
