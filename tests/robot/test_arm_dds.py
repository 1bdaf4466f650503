"""How the arm node talks: never by shared memory, and every kind of node of this computer finds it."""

import os
from pathlib import Path

import pytest
from geometry_msgs.msg import PoseStamped
from std_srvs.srv import Trigger

from gr1_bringup import stack
from gr1_common import dds
from tests.support.ros_graph import NodeProcess

LISTENER = """
import sys, time, rclpy
from rclpy.qos import qos_profile_sensor_data
from geometry_msgs.msg import PoseStamped
from std_srvs.srv import Trigger
rclpy.init()
node, came = rclpy.create_node("listener"), []
node.create_subscription(PoseStamped, "arm/pose", came.append, qos_profile_sensor_data)
client, until = node.create_client(Trigger, "arm/reset"), time.monotonic() + 30
while not came and time.monotonic() < until:
    rclpy.spin_once(node, timeout_sec=0.1)
assert client.wait_for_service(30)
answer = client.call_async(Trigger.Request())
rclpy.spin_until_future_complete(node, answer, timeout_sec=30)
print("poses", bool(came), "answered", answer.done(), flush=True)
"""


@pytest.fixture(scope="module")
def arm(ros):
    """The arm node as users start it: tests of cameras set a profile for this whole process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(dds.PROFILES, raising=False)
        process = NodeProcess("gr1_robot.arm.node", "robot:=sim")
    ros.status("arm: gate")
    yield process
    process.end()


def shared_memory(pid: int) -> list[str]:
    """The segments of Fast DDS that a process has mapped or opened."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    files = [os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()]
    return [line for line in (*maps, *files) if "/dev/shm/fastrtps" in line]


def test_it_maps_no_shared_memory_of_the_middleware_and_a_usual_node_finds_it(ros, arm):
    ros.subscribe("arm/pose", PoseStamped)
    ros.until("arm/pose")
    assert ros.call(Trigger, "arm/reset", Trigger.Request()).success
    assert shared_memory(os.getpid()), "the test's own node does, so this test would see it"
    assert not shared_memory(arm.pid)


@pytest.mark.parametrize(
    "variables",
    [
        {dds.RANGE: "LOCALHOST", **stack.environment()},
        {dds.RANGE: "SUBNET"},
        {dds.RANGE: "SYSTEM_DEFAULT"},
    ],
    ids=["a node of the stack", "a node of the default range", "a node of the middleware's own range"],
)
def test_nodes_of_every_kind_find_it(arm, monkeypatch, variables):
    monkeypatch.delenv(dds.PROFILES, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    listener = NodeProcess("", code=LISTENER)
    try:
        code, said = listener.wait(90)
        assert code == 0 and "poses True answered True" in said, said
    finally:
        listener.end()


def test_two_nodes_without_shared_memory_find_each_other(arm):
    code = f"from gr1_common import dds\ndds.leave_shared_memory()\n{LISTENER}"
    listener = NodeProcess("", code=code)
    try:
        assert "poses True answered True" in listener.wait(90)[1]
    finally:
        listener.end()


def test_a_profile_and_an_open_graph_of_the_user_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("GR1_RUNTIME_DIR", str(tmp_path))
    own = {dds.PROFILES: "mine.xml"}
    dds.leave_shared_memory(own)
    assert own == {dds.PROFILES: "mine.xml"}
    opened = {dds.RANGE: "SUBNET"}
    dds.leave_shared_memory(opened)
    assert "127.0.0.1" not in Path(opened[dds.PROFILES]).read_text()
    closed = {}
    dds.leave_shared_memory(closed)
    assert "127.0.0.1" in Path(closed[dds.PROFILES]).read_text()
