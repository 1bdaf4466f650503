"""The motion process: what it is made of, and what it does when its node, a signal or a caller ends it."""

import os
import signal
import socket
import threading
import time

import psutil
import pytest
from geometry_msgs.msg import TwistStamped
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from gr1_common import stop_socket
from gr1_common.messages import from_twist, to_stamp, to_twist
from gr1_robot.arm import run_lock
from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.motion_link import GripperCommand, Link
from gr1_robot.arm.run_lock import RunLock
from tests.support.ros_graph import NodeProcess, PeriodicPublisher

MODULES = """
import sys
from gr1_robot.arm import motion_client, node
motion_client.PROGRAM = (sys.executable, "-c", '''
import atexit, sys
atexit.register(lambda: print("MODULES", *sys.modules, flush=True))
from gr1_robot.arm import motion_process
sys.exit(motion_process.main())
''')
sys.exit(node.main())
"""


HANGING = """
import sys
from gr1_robot.arm import motion_client, node
motion_client.PROGRAM = (sys.executable, "-c", '''
import sys, time
from gr1_robot.arm import motion_process
from gr1_robot.arm.drivers.sim.backend import Arm
def describe(arm, calls=[]):
    calls.append(1)
    if len(calls) > 1:
        print("HANGS", flush=True)
        time.sleep(9.0)
        print("ANSWERS", flush=True)
    return "an arm"
Arm.describe = describe
sys.exit(motion_process.main())
''')
sys.exit(node.main())
"""


@pytest.fixture
def node(ros):
    """The arm node with the simulated arm; `motion`: its motion process."""
    process = start(ros)
    # The one of the test before may have been killed.
    assert ros.call(Trigger, "arm/reset", Trigger.Request()).success
    yield process
    process.end()


def start(ros, *parameters: str) -> NodeProcess:
    before = len(ros.messages("/diagnostics"))
    process = NodeProcess("gr1_robot.arm.node", "robot:=sim", *parameters)
    _, values = ros.status("arm: loop", after=before)
    process.motion = psutil.Process(int(values["pid"]))
    return process


def commands(ros):
    """The policy's commands at 10 Hz, as a context; the arm moves."""
    ros.subscribe("arm/commanded_twist", TwistStamped)
    publisher = ros.publisher("command/policy/twist", TwistStamped)

    def command():
        stamp = to_stamp(ros.node.get_clock().now().nanoseconds)
        return TwistStamped(header=Header(stamp=stamp), twist=to_twist((0.0, 0.05, 0.0), (0.0,) * 3))

    return PeriodicPublisher(publisher, command)


def moving(message) -> bool:
    return bool(from_twist(message.twist)[0].any())


def until_moving(ros) -> None:
    ros.until("arm/commanded_twist", moving, len(ros.messages("arm/commanded_twist")))


def stays_at_rest_until_reset(ros) -> None:
    """Commands keep coming, and the arm needs a person."""
    before = len(ros.messages("arm/commanded_twist"))
    ros.until("arm/commanded_twist", after=before + 60)
    assert not any(moving(message) for message in ros.messages("arm/commanded_twist")[before:])
    assert ros.call(Trigger, "arm/reset", Trigger.Request()).success
    until_moving(ros)


def test_it_has_neither_ros_nor_dds_nor_torch():
    process = NodeProcess("", code=MODULES)
    try:
        process.until("arm 'sim' with rig")
        process.send(signal.SIGINT)
        code, said = process.wait()
        modules = set(next(line for line in said.splitlines() if line.startswith("MODULES")).split())
        assert code == 0 and {"mujoco", "gr1_robot.arm.gate"} <= modules
        forbidden = ("rclpy", "rcl", "rpyutils", "torch", "sensor_msgs", "geometry_msgs", "std_msgs")
        assert not [name for name in modules if name.partition(".")[0] in forbidden]
    finally:
        process.end()


def test_it_is_out_of_reach_of_the_nodes_signals(ros, node):
    assert os.getsid(node.motion.pid) == node.motion.pid != os.getsid(node.pid)
    before = len(ros.messages("/diagnostics"))
    for number in (signal.SIGINT, signal.SIGHUP):
        node.motion.send_signal(number)
    _, values = ros.status("arm: loop", after=before + 3)
    assert int(values["pid"]) == node.motion.pid


def test_a_node_that_is_killed_leaves_an_arm_at_rest_and_its_successor_needs_a_person(ros, node):
    with commands(ros):
        until_moving(ros)
        node.send(signal.SIGKILL)
        node.until("the arm node has ended without a farewell; no motion commanded after")
        assert psutil.wait_procs([node.motion], timeout=20)[0]
        successor = start(ros)
        try:
            successor.until("stopped until arm/reset is called")
            stays_at_rest_until_reset(ros)
        finally:
            successor.end()
    again = NodeProcess("gr1_robot.arm.node", "robot:=sim")
    try:
        again.until("', armed")  # the one before was ended in order
    finally:
        again.end()


def test_a_motion_process_that_is_killed_ends_its_node_which_names_it(ros, node):
    with commands(ros):
        until_moving(ros)
        node.motion.kill()
        code, said = node.wait()
        assert code == 1 and "the motion process was killed by SIGKILL" in said
        successor = start(ros)
        try:
            stays_at_rest_until_reset(ros)
        finally:
            successor.end()


def test_sigterm_brings_the_arm_to_rest(ros, node):
    with commands(ros):
        until_moving(ros)
        node.motion.terminate()
        code, said = node.wait()
    assert code == 1 and "its end was asked for; no motion commanded after" in said


def test_a_node_that_is_frozen_leaves_an_arm_at_rest_that_goes_on_with_the_next_command(ros, node):
    def expired(status):
        return next(int(item.value) for item in status.values if item.key == "expired")

    with commands(ros):
        until_moving(ros)
        status, _ = ros.status("arm: gate", after=len(ros.messages("/diagnostics")))
        before = expired(status)
        node.send(signal.SIGSTOP)
        time.sleep(0.5)  # the node cannot tell that its last command has expired
        node.send(signal.SIGCONT)
        ros.status("arm: gate", lambda status: expired(status) > before)
        until_moving(ros)


def test_an_arm_whose_node_is_frozen_can_be_stopped(ros, node):
    file = stop_socket.socket_file("arm")
    with commands(ros):
        until_moving(ros)
        node.send(signal.SIGSTOP)
        # The stop socket answers meanwhile: the arm can be stopped without its node.
        [answer] = stop_socket.stop([file])
        assert answer.state == stop_socket.AT_REST
        node.send(signal.SIGCONT)
        stays_at_rest_until_reset(ros)


def test_the_stop_socket_latches_an_emergency_stop(ros, node):
    with commands(ros):
        until_moving(ros)
        before = len(ros.messages("/diagnostics"))
        [answer] = stop_socket.stop([stop_socket.socket_file("arm")])
        assert answer == (f"{os.environ['ROS_DOMAIN_ID']}.arm", "at rest")
        _, values = ros.status(
            "arm: gate", lambda status: status.message.startswith("emergency stop"), before
        )
        assert values["reason"] == "emergency_stop"
        stays_at_rest_until_reset(ros)


def test_a_caller_that_says_nothing_holds_up_nobody(node):
    file = stop_socket.socket_file("arm")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as idle:
        idle.connect(str(file))
        [answer] = stop_socket.stop([file])
        assert answer.stopped


def test_a_second_motion_process_for_the_same_arm_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "_WAIT_S", 0.1)
    first = RunLock(str(tmp_path / "arm.stop"))
    with pytest.raises(ArmError, match="another arm node of this name"):
        RunLock(str(tmp_path / "arm.stop"))
    first.end_in_order()
    first.release()
    second = RunLock(str(tmp_path / "arm.stop"))
    assert not second.was_killed
    second.release()


def test_a_motion_process_whose_driver_hangs_does_not_delay_the_stop_service(ros):
    """The node asks it what is connected, because its faults have changed."""
    process = NodeProcess("", code=HANGING)
    try:
        process.until("arm 'sim' with rig")
        hang = Parameter("sim.fault", value="disconnect").to_parameter_msg()
        assert ros.call(SetParameters, "arm/set_parameters", SetParameters.Request(parameters=[hang]))
        process.until("HANGS")
        assert ros.call(Trigger, "arm/stop", Trigger.Request()).success
        assert not process.said("ANSWERS")
    finally:
        process.end()


def test_a_full_link_drops_and_never_waits():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link, other = Link(ours), Link(theirs)
    sent = [link.post(GripperCommand("policy", 0.5, float(index))) for index in range(5000)]
    assert sent[0] and not sent[-1]
    received = []
    while (message := other.receive()) is not None:
        received.append(message.sent)
    assert received == [float(index) for index in range(sum(sent))]
    other.close()
    assert not link.post(GripperCommand("policy", 0.5, 0.0))
    with pytest.raises(EOFError):
        link.receive()


def test_the_stop_socket_of_a_process_that_was_killed_answers_nothing(tmp_path):
    file = tmp_path / "0.arm.stop"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(file))
        listener.listen()
    assert stop_socket.stop([file]) == [] and stop_socket.stop([tmp_path / "none.stop"]) == []


def test_a_motion_process_that_hangs_is_told_from_one_that_has_ended(tmp_path):
    file = tmp_path / "0.arm.stop"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(file))
        listener.listen()
        told = []
        thread = threading.Thread(target=lambda: told.extend(stop_socket.stop([file])))
        thread.start()
        thread.join()
    assert not told[0].stopped and "does not answer" in told[0].state
