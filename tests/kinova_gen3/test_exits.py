"""Whatever ends or freezes the arm's processes in motion, the arm stops: the real node, motion process and
watchdog, over real ROS 2.
"""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from geometry_msgs.msg import TwistStamped
from std_srvs.srv import Trigger

from gr1_common.messages import to_twist
from tests.support import ros_graph
from tests.support.ros_graph import NodeProcess, PeriodicPublisher

PROMISE = 0.25
"""s from the moment in which the node stops to run until the arm is at rest (docs/explanation/safety.md); a
busy computer cannot show it.
"""
TIMES = os.environ.get("GR1_KORTEX_TIMES", "")
"""The file that the figures go to. Where they are taken, on a quiet computer, the node is as impatient as on
a robot.
"""
WATCHDOG_MS, TIMEOUT_MS = (100, 100) if TIMES else (500, 1000)


@pytest.fixture(scope="module")
def ros():
    ros_graph.init_ros()
    ros = ros_graph.RosClient("kinova_gen3_client")
    yield ros
    ros.close()


@pytest.fixture
def node(arm, ros):
    """The arm node with the Gen3, free to move."""
    process = NodeProcess(*node_for(arm), "arm_on_start:=true")
    try:
        process.until("arm 'kinova_gen3' with rig 'kinova_gen3'")
        process.motion = child(psutil.Process(process.pid), "gr1_robot.arm.motion_process")
        process.watchdog = child(process.motion, "gr1_robot.arm.drivers.kinova_gen3.watchdog")
        yield process
    finally:
        with contextlib.suppress(AttributeError, psutil.NoSuchProcess):
            process.motion.resume()
        process.end()
        arm.hang_up()
    psutil.wait_procs([process.motion, process.watchdog], timeout=20)


def child(parent, module: str):
    return next(one for one in parent.children() if module in one.cmdline())


@pytest.fixture
def policy(arm, ros, node):
    """Commands that keep coming, whatever happens to the arm node; the arm is moving."""
    publisher = ros.publisher("command/policy/twist", TwistStamped)

    def command():
        message = TwistStamped(twist=to_twist((0.0, 0.04, 0.0), (0.0, 0.0, 0.0)))
        message.header.stamp = ros.node.get_clock().now().to_msg()
        return message

    with PeriodicPublisher(publisher, command, period=0.05):
        release(arm, ros)
        yield
    ros.node.destroy_publisher(publisher)


def node_for(arm):
    where = "kinova_gen3.address:=127.0.0.1", f"kinova_gen3.port:={arm.port}"
    return (
        "gr1_robot.arm.node",
        "robot:=kinova_gen3",
        "rig:=kinova_gen3",
        *where,
        f"kinova_gen3.watchdog_ms:={WATCHDOG_MS}",
        f"kinova_gen3.timeout_ms:={TIMEOUT_MS}",
    )


def release(arm, ros, twists: int = 0):
    """A person's resets until the arm moves (again, where `twists` had been sent before): a busy computer may
    latch it at once.
    """

    def moves(arm):
        return arm.moving and len(arm.calls("SendTwistCommand")) > twists

    deadline, told = time.monotonic() + 3 * ros_graph.TIMEOUT, len(ros.messages("/diagnostics"))
    while time.monotonic() < deadline:
        before = len(ros.messages("/diagnostics"))
        answer = ros.call(Trigger, "arm/reset", Trigger.Request())
        if not answer.success:
            ros.until("/diagnostics", after=before)
        elif arm.until(lambda arm, at=arm._now: moves(arm) or (arm._now > at + 2.0 and "latched")) is True:
            return
    raise AssertionError(
        f"the arm does not move; the last reset said '{answer.message}', the gate: {gate(ros, told)}"
    )


def gate(ros, after: int) -> list[str]:
    """What the gate's status has said, each once."""
    statuses = [
        status
        for array in ros.messages("/diagnostics")[after:]
        for status in array.status
        if status.name == "arm: gate"
    ]
    return list(
        dict.fromkeys(
            f"{status.message} { ({v.key: v.value for v in status.values}) }" for status in statuses
        )
    )


def value(status, key: str) -> str:
    return next(pair.value for pair in status.values if pair.key == key)


def stops_after(arm, began: float) -> list:
    return [entry for entry in arm.calls("Stop") if entry.at > began]


def stops(arm, began: float, what: str, within: float = PROMISE):
    """The arm was told to stop and is at rest. On a busy computer the gate may have rested it just before; it
    is told all the same.
    """
    stop = arm.until(lambda arm: stops_after(arm, began))[0]
    assert not arm.moving
    if TIMES:
        rest = next((entry for entry in arm.log if entry.what == "rest" and entry.at > began), stop)
        took = rest.at - began
        with Path(TIMES).open("a") as file:
            print(json.dumps({"what": what, "ms": round(1e3 * took, 1), "by": rest.detail}), file=file)
        assert took < within


def ends(process):
    gone, _ = psutil.wait_procs([process], timeout=20)
    assert gone, "it has not ended"


def test_a_motion_process_that_is_killed_in_motion_leaves_the_arm_at_rest(arm, node, policy):
    began = time.monotonic()
    node.motion.kill()
    stops(arm, began, "SIGKILL")
    ends(node.watchdog)
    assert not arm.moving
    code, said = node.wait()
    assert code == 1 and "the motion process was killed by SIGKILL" in said
    assert "watchdog: stopped the arm" in said and "ended without stopping" in said


def test_a_node_that_is_killed_in_motion_leaves_an_arm_that_is_brought_to_rest_and_released(
    arm, node, policy
):
    began = time.monotonic()
    node.send(signal.SIGKILL)
    stops(arm, began, "SIGKILL of the node")
    ends(node.motion)
    ends(node.watchdog)
    assert not arm.moving
    assert "ended without a farewell; no motion commanded after" in node.wait()[1]


def freeze_in_motion(arm, ros, node) -> float:
    """When the node was frozen. Where the gate rested the arm just before, there is nothing to watchdog: it
    goes on, and once more.
    """
    for _ in range(10):
        began = time.monotonic()
        node.motion.suspend()
        arm.until(lambda arm, at=began: stops_after(arm, at) or not arm.moving and arm._now > at + 2.0)
        if stops_after(arm, began):
            return began
        node.motion.resume()
        release(arm, ros)
    raise AssertionError("the gate had rested the arm each time")


def test_a_motion_process_that_is_frozen_in_motion_leaves_the_arm_at_rest_until_a_person_releases_it(
    arm, ros, node, policy
):
    stops(arm, freeze_in_motion(arm, ros, node), "SIGSTOP")
    node.until(f"no heartbeat from the arm node for {WATCHDOG_MS} ms")
    before = len(ros.messages("/diagnostics"))
    node.motion.resume()
    # Commands keep coming, but the node learns what happened, from the watchdog or from a call that took too
    # long, and is latched.
    node.until("kinova_gen3: ")
    ros.status("arm: gate", lambda status: value(status, "state") == "stopped", before)
    moved = len(arm.calls("SendTwistCommand"))
    arm.until(lambda arm, at=arm._now: arm._now > at + 0.5)
    assert not arm.moving
    assert not any(entry.detail.twist.linear_y for entry in arm.calls("SendTwistCommand")[moved:])
    release(arm, ros)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_node_that_is_asked_to_end_stops_the_arm_first(arm, node, policy, number):
    began = time.monotonic()
    # Ctrl-C and service managers signal the watchdog too: it outlives the arm node all the same.
    node.watchdog.send_signal(number)
    node.send(number)
    stops(arm, began, number.name)
    code, said = node.wait()
    assert code == 0, said
    ends(node.watchdog)
    assert not arm.moving
    assert len([entry for entry in arm.calls("CloseSession") if entry.at > began]) == 2, (
        "the node's session and the watchdog's"
    )


def test_the_watchdog_is_out_of_reach_of_signals_to_the_nodes_group(node):
    assert os.getsid(node.watchdog.pid) == node.watchdog.pid != os.getsid(node.pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        node.watchdog.send_signal(number)
    assert node.watchdog.is_running() and node.watchdog.status() != psutil.STATUS_ZOMBIE


def test_an_arm_that_hangs_up_in_motion_is_latched_until_it_is_back_and_a_person_releases_it(
    arm, ros, node, policy
):
    before = len(ros.messages("/diagnostics"))
    began = time.monotonic()
    arm.hang_up()
    # The watchdog's session is lost too: it must first notice, then log in again.
    stops(arm, began, "hang-up", within=2 * PROMISE)
    node.until("lost the arm")
    # A lost arm is a fault and has no pose: on a busy computer the gate may see the second first.
    lost = {("stopped", "backend_fault"), ("stopped", "no_pose")}
    ros.status("arm: gate", lambda status: (value(status, "state"), value(status, "reason")) in lost, before)
    node.until("is back")
    moved = len(arm.calls("SendTwistCommand"))
    release(arm, ros, moved)


def test_a_node_without_an_arm_ends_and_says_why(arm):
    arm.refuse_connections()
    process = NodeProcess(*node_for(arm))
    code, said = process.wait()
    assert (
        code == 1
        and "error: the arm at 127.0.0.1" in said
        and "cannot be reached" in said
        and "Traceback" not in said
    )
