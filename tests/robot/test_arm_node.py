"""The arm node over real ROS 2: it follows commands, and it stops."""

import json
import math
import os
import signal
import threading
import time

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from rcl_interfaces.srv import DescribeParameters, ListParameters, SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float32, Header, String
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from gr1_common.diagnostics import ERROR, OK, WARN
from gr1_common.messages import from_pose, from_twist, to_stamp, to_twist
from gr1_common.qos import COMMAND, LATCHED
from tests.support.ros_graph import NodeProcess, PeriodicPublisher, stamp_ns

SENDER = """
import rclpy
from geometry_msgs.msg import TwistStamped
rclpy.init()
node = rclpy.create_node("sender")
publisher = node.create_publisher(TwistStamped, "command/policy/twist", 1)
def send():
    msg = TwistStamped()
    msg.header.stamp = node.get_clock().now().to_msg()
    msg.twist.linear.y = 0.05
    publisher.publish(msg)
node.create_timer(0.1, send)
rclpy.spin(node)
"""


@pytest.fixture(scope="module")
def topics(ros, arm):
    """Everything that the arm node publishes is being listened to."""
    for topic, kind in {
        "arm/pose": PoseStamped,
        "arm/commanded_pose": PoseStamped,
        "arm/commanded_twist": TwistStamped,
        "arm/wrench": WrenchStamped,
        "joint_states": JointState,
        "arm/gripper": JointState,
        "arm/markers": MarkerArray,
        "sim/state": JointState,
    }.items():
        ros.subscribe(topic, kind)
    ros.subscribe("sim/success", Bool, COMMAND)
    ros.subscribe("sim/task", String, LATCHED)
    ros.subscribe("command/policy/twist", TwistStamped, COMMAND)
    ros.until("arm/commanded_twist")
    return ros


@pytest.fixture
def policy(topics):
    return topics.publisher("command/policy/twist", TwistStamped)


@pytest.fixture
def reset(topics):
    """The arm at home in a fresh scene, free to move."""
    assert topics.call(Trigger, "arm/reset", Trigger.Request()).success
    assert topics.call(Trigger, "sim/reset", Trigger.Request()).success
    return topics


def twist(linear=(0.0, 0.0, 0.0), angular=(0.0, 0.0, 0.0), stamp_ns=None):
    """A command stamped now, or as it is said."""
    header = Header(stamp=to_stamp(time.time_ns() if stamp_ns is None else stamp_ns))
    return TwistStamped(header=header, twist=to_twist(linear, angular))


def moving(message):
    linear, angular = from_twist(message.twist)
    return bool(linear.any() or angular.any())


def value(status, key):
    return {item.key: item.value for item in status.values}[key]


def still(message):
    return not moving(message)


def count(ros, topic):
    return len(ros.messages(topic))


def test_everything_in_the_interface_is_published(topics):
    for topic in ("joint_states", "arm/gripper", "arm/markers", "sim/state", "sim/success", "sim/task"):
        topics.until(topic)
    for topic in ("arm/pose", "arm/commanded_pose", "arm/commanded_twist"):
        assert topics.until(topic).header.frame_id == "base_link"
    joints = topics.until("joint_states")
    assert len(joints.name) == len(joints.position) == len(joints.velocity) == 7
    assert list(topics.until("arm/gripper").name) == ["closure", "closure_command"]
    assert {marker.ns for marker in topics.until("arm/markers").markers} == {
        "commanded_motion",
        "commanded_path",
        "workspace",
        "stopped",
        "why_stopped",
    }
    assert set(json.loads(topics.until("sim/task").data)) == {"task", "seed", "instruction", "episode"}


def test_the_arm_follows_a_commanded_twist(reset, policy):
    start, _ = from_pose(reset.until("arm/pose", after=count(reset, "arm/pose")).pose)
    with PeriodicPublisher(policy, lambda: twist((0.0, 0.05, 0.02))):
        before = count(reset, "arm/commanded_twist")
        reset.until(
            "arm/commanded_twist", lambda m: from_twist(m.twist)[0].tolist() == [0.0, 0.05, 0.02], before
        )
        status, values = reset.status(
            "arm: gate", lambda s: s.message == "following commands", count(reset, "/diagnostics")
        )
        assert status.level == OK and (values["state"], values["reason"], values["source"]) == (
            "moving",
            "none",
            "policy",
        )
        reset.until("arm/pose", lambda m: from_pose(m.pose)[0][1] > start[1] + 0.04, count(reset, "arm/pose"))
    measured, commanded = reset.messages("arm/pose")[-1], reset.messages("arm/commanded_pose")[-1]
    assert np.linalg.norm(from_pose(measured.pose)[0] - from_pose(commanded.pose)[0]) < 0.03


def test_the_gripper_follows_the_source_in_charge(reset, policy):
    gripper = reset.publisher("command/policy/gripper", Float32)

    def both():
        gripper.publish(Float32(data=1.0))
        return twist()

    with PeriodicPublisher(policy, both):
        message = reset.until(
            "arm/gripper", lambda m: m.position[1] == 1.0 and m.position[0] > 0.9, count(reset, "arm/gripper")
        )
        assert message.position[0] <= 1.0


def test_a_sender_that_is_killed_in_motion_leaves_the_arm_at_rest_within_250_ms(reset):
    sender = NodeProcess("", code=SENDER)
    try:
        reset.until("command/policy/twist", after=count(reset, "command/policy/twist") + 2)
        before = count(reset, "arm/commanded_twist")
        reset.until("arm/commanded_twist", lambda m: m.twist.linear.y == 0.05, before)
        sender.send(signal.SIGKILL)
        sender.wait()
        last = stamp_ns(reset.messages("command/policy/twist")[-1])
        rest = reset.until("arm/commanded_twist", lambda m: stamp_ns(m) > last and still(m), before)
        assert (stamp_ns(rest) - last) * 1e-9 <= 0.25
        status, values = reset.status(
            "arm: gate", lambda s: s.level == WARN, count(reset, "/diagnostics") - 1
        )
        assert values["reason"] == "expired" and "has expired" in status.message
        later = count(reset, "arm/commanded_twist")
        reset.until("arm/commanded_twist", after=later + 50)
        assert all(still(m) for m in reset.messages("arm/commanded_twist")[later:])
    finally:
        sender.end()


def test_the_emergency_stop_latches_until_a_reset(reset, policy):
    with PeriodicPublisher(policy, lambda: twist((0.0, 0.05, 0.0))):
        reset.until("arm/commanded_twist", moving, count(reset, "arm/commanded_twist"))
        assert reset.call(Trigger, "arm/stop", Trigger.Request()).success
        rest = count(reset, "arm/commanded_twist") + 10
        reset.until("arm/commanded_twist", after=rest + 60)
        assert all(still(m) for m in reset.messages("arm/commanded_twist")[rest:]), (
            "commands kept coming and nothing moved"
        )
        status, values = reset.status("arm: gate", lambda s: s.level == ERROR, count(reset, "/diagnostics"))
        assert (
            values["state"] == "stopped"
            and values["reason"] == "emergency_stop"
            and int(values["stopped"]) > 0
        )
    before = count(reset, "arm/commanded_twist")
    assert reset.call(Trigger, "arm/reset", Trigger.Request()).success
    reset.until("arm/commanded_twist", after=before + 20)
    assert all(still(m) for m in reset.messages("arm/commanded_twist")[before:]), (
        "commands from before the reset are forgotten"
    )
    with PeriodicPublisher(policy, lambda: twist((0.0, 0.05, 0.0))):
        reset.until("arm/commanded_twist", moving, count(reset, "arm/commanded_twist"))


def test_a_command_that_is_not_finite_stops_the_arm_and_is_named(reset, policy):
    with PeriodicPublisher(policy, lambda: twist((0.0, 0.05, 0.0))):
        reset.until("arm/commanded_twist", moving, count(reset, "arm/commanded_twist"))
    with PeriodicPublisher(policy, lambda: twist((math.nan, 0.0, 0.0))):
        reset.until("arm/commanded_twist", still, count(reset, "arm/commanded_twist"))
        status, values = reset.status(
            "arm: gate", lambda s: "not finite" in s.message, count(reset, "/diagnostics")
        )
        assert status.level == WARN and int(values["not_finite"]) > 0


@pytest.mark.parametrize(
    "shift", [-1.0, -math.inf, 1000.0], ids=["a second ago", "no stamp", "in the future"]
)
def test_a_command_whose_stamp_is_not_of_this_moment_moves_nothing(reset, policy, shift):
    before, counted = count(reset, "arm/commanded_twist"), count(reset, "/diagnostics")
    stamp_ns = 0 if math.isinf(shift) else time.time_ns() + round(1e9 * shift)
    with PeriodicPublisher(policy, lambda: twist((0.0, 0.05, 0.0), stamp_ns=stamp_ns)):
        _, first = reset.status("arm: gate", after=counted)
        reset.status("arm: gate", lambda s: int(value(s, "old")) > int(first["old"]) + 2, counted)
    assert all(still(m) for m in reset.messages("arm/commanded_twist")[before:])


def test_the_same_command_published_again_and_again_does_not_keep_the_arm_moving(reset, policy):
    before, counted, once = (
        count(reset, "arm/commanded_twist"),
        count(reset, "/diagnostics"),
        twist((0.0, 0.05, 0.0)),
    )
    _, first = reset.status("arm: gate", after=counted)
    once.header.stamp = to_stamp(time.time_ns())
    with PeriodicPublisher(policy, lambda: once, period=0.02):
        rest = reset.until(
            "arm/commanded_twist", lambda m: still(m) and stamp_ns(m) > stamp_ns(once) + 2 * 10**8, before
        )
        _, values = reset.status("arm: gate", lambda s: int(value(s, "old")) > int(first["old"]), counted)
    assert stamp_ns(rest) - stamp_ns(once) < 10**9 and int(values["out_of_order"]) > int(
        first["out_of_order"]
    )
    assert all(
        still(m)
        for m in reset.messages("arm/commanded_twist")[before:]
        if stamp_ns(m) > stamp_ns(once) + 25 * 10**7
    )


def test_teleoperation_goes_before_the_policy(reset, policy):
    teleop = reset.publisher("command/teleop/twist", TwistStamped)
    with (
        PeriodicPublisher(policy, lambda: twist((0.0, 0.05, 0.0))),
        PeriodicPublisher(teleop, lambda: twist((0.0, -0.05, 0.0))),
    ):
        reset.until(
            "arm/commanded_twist", lambda m: m.twist.linear.y == -0.05, count(reset, "arm/commanded_twist")
        )
        _, values = reset.status(
            "arm: gate", lambda s: s.message == "following commands", count(reset, "/diagnostics")
        )
        assert values["source"] == "teleop"


def test_home_is_reached_through_the_gate(reset, policy):
    home, _ = from_pose(reset.until("arm/commanded_pose", after=count(reset, "arm/commanded_pose")).pose)
    with PeriodicPublisher(policy, lambda: twist((0.0, 0.1, 0.0))):
        reset.until("arm/pose", lambda m: m.pose.position.y > home[1] + 0.03, count(reset, "arm/pose"))
    assert reset.call(Trigger, "arm/home", Trigger.Request()).success
    before = count(reset, "arm/commanded_twist")
    reset.until(
        "arm/commanded_pose",
        lambda m: np.linalg.norm(from_pose(m.pose)[0] - home) < 0.003,
        count(reset, "arm/commanded_pose"),
    )
    speeds = [np.linalg.norm(from_twist(m.twist)[0]) for m in reset.messages("arm/commanded_twist")[before:]]
    assert 0.0 < max(speeds) <= 0.2
    assert reset.call(Trigger, "arm/stop", Trigger.Request()).success
    refused = reset.call(Trigger, "arm/home", Trigger.Request())
    assert not refused.success and "arm/reset" in refused.message


@pytest.fixture
def break_arm(reset):
    """Sets `sim.fault`, and mends the arm afterwards."""

    def be(fault):
        request = SetParameters.Request(parameters=[Parameter("sim.fault", value=fault).to_parameter_msg()])
        assert reset.call(SetParameters, "arm/set_parameters", request).results[0].successful

    yield be
    be("none")
    healthy = lambda s: s.level == OK and s.message == "ready"  # noqa: E731
    reset.status("arm: backend", healthy, count(reset, "/diagnostics"))
    assert reset.call(Trigger, "arm/reset", Trigger.Request()).success


def test_force_on_the_hand_stops_the_arm_and_is_published(reset, policy, break_arm):
    with PeriodicPublisher(policy, lambda: twist((0.0, 0.05, 0.0))):
        reset.until("arm/commanded_twist", moving, count(reset, "arm/commanded_twist"))
        before, counted = count(reset, "arm/commanded_twist"), count(reset, "/diagnostics")
        break_arm("force")
        wrench = reset.until("arm/wrench", lambda m: m.wrench.force.z > 30.0)
        status, _ = reset.status("arm: gate", lambda s: value(s, "reason") == "force", counted)
        rest = reset.until(
            "arm/commanded_twist", lambda m: still(m) and stamp_ns(m) > stamp_ns(wrench), before
        )
    assert (
        status.level == ERROR and " N on the hand" in status.message and wrench.header.frame_id == "base_link"
    )
    assert stamp_ns(rest) - stamp_ns(wrench) <= 25 * 10**7


def test_a_state_that_stands_still_stops_the_arm_and_is_not_published_again(reset, policy, break_arm):
    with PeriodicPublisher(policy, lambda: twist((0.0, 0.05, 0.0))):
        reset.until("arm/commanded_twist", moving, count(reset, "arm/commanded_twist"))
        before, counted = count(reset, "arm/commanded_twist"), count(reset, "/diagnostics")
        break_arm("drop_out")
        status, _ = reset.status(
            "arm: gate", lambda s: value(s, "reason") == "no_pose" and value(s, "state") == "stopped", counted
        )
        reset.status("arm: loop", lambda s: float(value(s, "state_age_ms")) > 300.0, counted)
        last = stamp_ns(reset.messages("arm/pose")[-1])
        rest = reset.until("arm/commanded_twist", lambda m: still(m) and stamp_ns(m) > last, before)
    assert "s old" in status.message and stamp_ns(rest) - last <= 25 * 10**7
    refused = reset.call(Trigger, "arm/reset", Trigger.Request())
    assert (
        not refused.success
        and "s old" in refused.message
        and stamp_ns(reset.messages("arm/pose")[-1]) == last
    )


def test_a_lost_arm_is_told_with_what_is_wrong(reset, break_arm):
    counted = count(reset, "/diagnostics")
    break_arm("disconnect")
    status, values = reset.status("arm: backend", lambda s: s.level == ERROR, counted)
    assert (
        "disconnect" in status.message and values["faults"] == status.message and "Kinova" in values["device"]
    )
    status, _ = reset.status("arm: gate", lambda s: value(s, "reason") == "backend_fault", counted)
    assert "disconnect" in status.message
    assert reset.call(Trigger, "arm/clear_faults", Trigger.Request()).success, (
        "the simulated arm has none to clear"
    )


def test_a_motion_process_that_was_frozen_moves_nothing_on_waking_until_a_person_resets_it(reset, policy):
    _, values = reset.status("arm: loop", after=count(reset, "/diagnostics"))
    motion = int(values["pid"])
    with PeriodicPublisher(policy, lambda: twist((0.0, 0.05, 0.0))):
        reset.until("arm/commanded_twist", moving, count(reset, "arm/commanded_twist"))
        counted = count(reset, "/diagnostics")
        os.kill(motion, signal.SIGSTOP)
        frozen = time.time_ns()
        threading.Event().wait(0.8)
        thawed = time.time_ns()
        os.kill(motion, signal.SIGCONT)
        status, _ = reset.status("arm: gate", lambda s: value(s, "reason") == "loop_stalled", counted)
        after = count(reset, "arm/commanded_twist")
        reset.until("arm/commanded_twist", after=after + 30)
    assert status.level == ERROR and "stood still for" in status.message
    late = [m for m in reset.messages("arm/commanded_twist") if stamp_ns(m) > thawed]
    assert thawed - frozen > 5 * 10**8 and late and all(still(m) for m in late)


def test_a_new_episode_is_the_task_and_seed_that_were_set(reset):
    wanted = [Parameter("sim.task", value="open_drawer"), Parameter("sim.seed", value=7)]
    request = SetParameters.Request(parameters=[parameter.to_parameter_msg() for parameter in wanted])
    assert all(
        result.successful for result in reset.call(SetParameters, "arm/set_parameters", request).results
    )
    said = json.loads(reset.call(Trigger, "sim/reset", Trigger.Request()).message)
    assert (said["task"], said["seed"]) == ("open_drawer", 7) and "drawer" in said["instruction"]
    assert (
        json.loads(reset.until("sim/task", lambda m: json.loads(m.data)["task"] == "open_drawer").data)
        == said
    )


def test_an_unknown_task_is_refused_by_name(reset):
    request = SetParameters.Request(parameters=[Parameter("sim.task", value="fly").to_parameter_msg()])
    result = reset.call(SetParameters, "arm/set_parameters", request).results[0]
    assert not result.successful and "fly" in result.reason and "open_drawer" in result.reason


def test_every_parameter_explains_itself(topics):
    names = [
        n
        for n in topics.call(ListParameters, "arm/list_parameters", ListParameters.Request()).result.names
        if "qos" not in n
    ]
    own = [name for name in names if name not in ("use_sim_time", "start_type_description_service")]
    described = topics.call(
        DescribeParameters, "arm/describe_parameters", DescribeParameters.Request(names=own)
    ).descriptors
    assert len(own) >= 8 and all(descriptor.description for descriptor in described)


def test_the_loop_reports_its_beat(topics):
    _, values = topics.status("arm: loop", after=count(topics, "/diagnostics"))
    assert {
        "rate_hz",
        "period_p50_ms",
        "period_p99_ms",
        "period_max_ms",
        "longest_ms",
        "missed",
        "state_age_ms",
    } <= set(values)
    assert (
        0 < float(values["period_p50_ms"]) <= float(values["period_p99_ms"]) <= float(values["period_max_ms"])
    )
    assert 0 <= float(values["state_age_ms"]) < 1000
