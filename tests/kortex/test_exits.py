"""Whatever ends or freezes the arm node in motion, the arm stops: the real node and the real guardian, as processes, over real ROS 2."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from geometry_msgs.msg import TwistStamped
from std_srvs.srv import Trigger

from gr1_robot.messages import to_twist
from tests.robot import graph
from tests.robot.graph import Process, Stream

PROMISE = 0.25
"""s from the moment in which the node stops to run until the arm is at rest (docs/safety.md)."""


@pytest.fixture(scope="module")
def ear():
    graph.start()
    ear = graph.Ear("kortex_ear")
    yield ear
    ear.close()


@pytest.fixture
def node(arm, ear):
    """The arm node with the Gen3, free to move."""
    process = Process(*node_for(arm), "arm_on_start:=true")
    process.until("arm 'kortex' with rig 'kinova_gen3'")
    process.pid = process._process.pid
    process.guardian = next(p for p in psutil.Process(process.pid).children() if "gr1_robot.kortex.guardian" in p.cmdline())
    yield process
    process.end()
    arm.hang_up()
    psutil.wait_procs([process.guardian], timeout=20)


@pytest.fixture
def policy(arm, ear, node):
    """Commands that keep coming, whatever happens to the arm node; the arm is moving."""
    publisher = ear.say("command/policy/twist", TwistStamped)

    def command():
        message = TwistStamped(twist=to_twist((0.0, 0.04, 0.0), (0.0, 0.0, 0.0)))
        message.header.stamp = ear.node.get_clock().now().to_msg()
        return message

    with Stream(publisher, command, period=0.05):
        # A busy computer may latch the arm before it has moved: the stand-in arm is as slow as this process.
        deadline = time.monotonic() + graph.TIMEOUT
        while not arm.moving and time.monotonic() < deadline:
            reset(ear)
            arm.until(lambda arm, at=arm._now: arm.moving or arm._now > at + 2.0)
        assert arm.moving
        yield
    ear.node.destroy_publisher(publisher)


def node_for(arm):
    return "gr1_robot.arm_node", "robot:=kortex", "rig:=kinova_gen3", "kortex.address:=127.0.0.1", f"kortex.port:={arm.port}"


def reset(ear):
    deadline = time.monotonic() + graph.TIMEOUT
    while not (answer := ear.call(Trigger, "arm/reset", Trigger.Request())).success:
        assert time.monotonic() < deadline, answer.message


def stops(arm, began: float, what: str, within: float = PROMISE):
    """The arm is at rest in time; the figure goes to the file that GR1_KORTEX_TIMES names."""
    rest = arm.rests(began)
    took = rest.at - began
    if path := os.environ.get("GR1_KORTEX_TIMES"):
        with Path(path).open("a") as file:
            print(json.dumps({"what": what, "ms": round(1e3 * took, 1), "by": rest.detail}), file=file)
    assert took < within
    return rest


def ends(guardian):
    gone, _ = psutil.wait_procs([guardian], timeout=20)
    assert gone, "the guardian has not ended"


def test_a_node_that_is_killed_in_motion_leaves_the_arm_at_rest(arm, node, policy):
    began = time.monotonic()
    node.send(signal.SIGKILL)
    assert stops(arm, began, "SIGKILL").detail == "Stop"
    ends(node.guardian)
    assert not arm.moving
    assert "guardian: stopped the arm" in node.wait()[1] and "ended without stopping" in node.wait()[1]


def test_a_node_that_is_frozen_in_motion_leaves_the_arm_at_rest_until_a_person_releases_it(arm, ear, node, policy):
    began = time.monotonic()
    node.send(signal.SIGSTOP)
    assert stops(arm, began, "SIGSTOP").detail == "Stop"
    node.until("no heartbeat from the arm node for 100 ms")
    before = len(ear.heard("/diagnostics"))
    node.send(signal.SIGCONT)
    # Commands keep coming, but the node learns what happened, from the guardian or from a call that took too long, and is latched.
    node.until("kortex: ")
    ear.status("arm: gate", lambda status: {"state": "stopped"}.items() <= {v.key: v.value for v in status.values}.items(), before)
    moved = len(arm.calls("SendTwistCommand"))
    arm.until(lambda arm, at=arm._now: arm._now > at + 0.5)
    assert not arm.moving
    assert not any(entry.detail.twist.linear_y for entry in arm.calls("SendTwistCommand")[moved:])
    reset(ear)
    arm.until(lambda arm: arm.moving)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_node_that_is_asked_to_end_stops_the_arm_first(arm, node, policy, number):
    began = time.monotonic()
    # Ctrl-C and service managers signal the guardian too: it outlives the arm node all the same.
    node.guardian.send_signal(number)
    node.send(number)
    stops(arm, began, number.name)
    code, said = node.wait()
    assert code == 0, said
    ends(node.guardian)
    assert len(arm.calls("Stop")) > 1 and not arm.moving
    assert len(arm.calls("CloseSession")) == 2


def test_the_guardian_is_out_of_reach_of_signals_to_the_nodes_group(node):
    assert os.getsid(node.guardian.pid) == node.guardian.pid != os.getsid(node.pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        node.guardian.send_signal(number)
    assert node.guardian.is_running() and node.guardian.status() != psutil.STATUS_ZOMBIE


def test_an_arm_that_hangs_up_in_motion_is_latched_until_it_is_back_and_a_person_releases_it(arm, ear, node, policy):
    before = len(ear.heard("/diagnostics"))
    began = time.monotonic()
    arm.hang_up()
    # The guardian's session is lost too: it must first notice, then log in again.
    stops(arm, began, "hang-up", within=2 * PROMISE)
    status, values = ear.status("arm: gate", lambda status: any(v.value == "backend_fault" for v in status.values), before)
    assert values["state"] == "stopped"
    node.until("is back")
    moved = arm.calls("SendTwistCommand")
    reset(ear)
    arm.until(lambda arm: arm.moving and len(arm.calls("SendTwistCommand")) > len(moved))


def test_a_node_without_an_arm_ends_and_says_why(arm):
    arm.refuse_connections()
    process = Process(*node_for(arm))
    code, said = process.wait()
    assert code == 1 and "error: the arm at 127.0.0.1" in said and "cannot be reached" in said and "Traceback" not in said
