"""Publishers that the recorder cannot hear, and times under simulated time: with real nodes."""

import time

import pytest
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header, String

from gr1_common.qos import COMMAND, SENSOR
from gr1_recorder.raw_subscriber import RawSubscriber
from gr1_recorder.streams import Stream
from tests.support.ros_graph import init_ros
from tests.support.waiting import eventually

TWIST = Stream("command/teleop/twist", "geometry_msgs/msg/TwistStamped", qos="reliable")
WORDS = Stream("instruction", "std_msgs/msg/String", qos="transient_local")
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
VOLATILE = QoSProfile(depth=1, durability=DurabilityPolicy.VOLATILE)


@pytest.fixture
def nodes():
    init_ros()
    elsewhere = rclpy.Context()  # as in another process: one participant has one type for each topic
    rclpy.init(args=[], context=elsewhere, signal_handler_options=SignalHandlerOptions.NO)
    made = [
        rclpy.create_node("recorder", namespace="unheard"),
        rclpy.create_node("my_teleop", namespace="unheard", context=elsewhere),
    ]
    yield made
    for node in made:
        node.destroy_node()
    rclpy.try_shutdown(context=elsewhere)


@pytest.mark.parametrize(
    ("stream", "kind", "qos", "said"),
    [
        (TWIST, TwistStamped, BEST_EFFORT, "publishes it best effort, which is not heard here"),
        (TWIST, TwistStamped, SENSOR, "publishes it best effort, which is not heard here"),
        (TWIST, Twist, COMMAND, "as geometry_msgs/msg/Twist, expected geometry_msgs/msg/TwistStamped"),
        (WORDS, String, VOLATILE, "publishes it volatile, which is not heard here"),
        (WORDS, Header, COMMAND, "as std_msgs/msg/Header, expected std_msgs/msg/String"),
    ],
)
def test_a_publisher_that_cannot_be_heard_is_named_with_its_node(nodes, monkeypatch, stream, kind, qos, said):
    recorder, other = nodes
    monkeypatch.setattr("gr1_recorder.raw_subscriber._SENDERS_EVERY_S", 0.0)
    subscriber = RawSubscriber(recorder, [stream], lambda *received: None)
    other.create_publisher(kind, stream.topic, qos)

    def unheard():
        subscriber.poll()
        problem = subscriber.unheard.get(f"/unheard/{stream.topic}", "")
        return problem if "/unheard/my_teleop " in problem else ""  # the name comes a little after the topic

    problem = eventually(unheard, "the publisher's node in the graph")
    assert problem.startswith("node /unheard/my_teleop ") and said in problem


def test_a_publisher_that_is_heard_is_no_problem(nodes, monkeypatch):
    recorder, other = nodes
    monkeypatch.setattr("gr1_recorder.raw_subscriber._SENDERS_EVERY_S", 0.0)
    received = []
    subscriber = RawSubscriber(recorder, [TWIST], lambda *message: received.append(message))
    publisher = other.create_publisher(TwistStamped, TWIST.topic, COMMAND)

    def heard():
        publisher.publish(TwistStamped())
        subscriber.poll()
        return received

    assert eventually(heard, "a message") and subscriber.unheard == {}


def test_under_simulated_time_all_times_of_a_message_are_simulated(nodes):
    recorder, other = nodes
    received = []
    subscriber = RawSubscriber(recorder, [TWIST], lambda message, _: received.append(message))
    recorder.set_parameters([Parameter("use_sim_time", value=True)])
    clock = other.create_publisher(Clock, "/clock", 10)
    publisher = other.create_publisher(TwistStamped, TWIST.topic, COMMAND)
    now = Time(sec=100, nanosec=5)

    def heard():
        clock.publish(Clock(clock=now))
        rclpy.spin_once(recorder, timeout_sec=0.01)
        if recorder.get_clock().now().nanoseconds == 0:
            return None
        publisher.publish(TwistStamped(header=Header(stamp=now)))
        subscriber.poll()
        return received

    message = eventually(heard, "a message")[-1]
    assert message.log_time == message.publish_time == message.stamp == 100 * 10**9 + 5
    assert abs(message.arrived - time.monotonic()) < 20.0, "arrivals stay on the steady clock"
