"""Parts of the motion process and of its client that need no ROS graph."""

import os
import sys
import threading

import pytest

from gr1_common import stop_socket
from gr1_core.rig import Rig
from gr1_robot.arm import motion_client
from gr1_robot.arm.controller import ArmController
from gr1_robot.arm.motion_client import MotionClient
from gr1_robot.arm.motion_link import Start
from gr1_robot.arm.run_lock import RunLock
from gr1_robot.arm.stop_server import StopServer

from .test_arm import RIG, Driver

BABBLING = """
import socket, sys, time
from gr1_robot.arm.motion_link import Link, Ready
connection = socket.socket(fileno=int(sys.argv[1]))
link = Link(connection)
link.await_message()
link.post(Ready((), "normal", "", ""))
connection.send(b"this is no message")
while link.await_message(1.0) is None:
    pass
"""


def test_the_stop_socket_is_served_whatever_the_rest_of_the_process_does(tmp_path):
    file = tmp_path / "0.arm.stop"
    arm = ArmController(RIG, Driver(), True)
    server = StopServer(str(file), arm)
    for _ in range(2):
        [answer] = stop_socket.stop([file], rest_s=0.0)
        assert answer.state == stop_socket.LATCHED and arm.gate.latched == "emergency_stop"
    server.close()
    assert not file.exists() and stop_socket.stop([file]) == []


def killed(file: str) -> None:
    """A motion process that ends without a word."""
    os.close(RunLock(file)._file)


def test_after_a_kill_a_person_must_arm_and_ending_the_next_run_in_order_is_no_such_act(tmp_path):
    file = str(tmp_path / "0.arm.stop")
    killed(file)
    for _ in range(2):
        lock = RunLock(file)
        assert lock.was_killed
        lock.end_in_order()
        os.close(lock._file)
    lock = RunLock(file)
    lock.person_has_armed()
    lock.end_in_order()
    os.close(lock._file)
    lock = RunLock(file)
    assert not lock.was_killed
    lock.release()


@pytest.fixture
def babbling(tmp_path, monkeypatch):
    monkeypatch.setattr(motion_client, "PROGRAM", (sys.executable, "-c", BABBLING))
    start = Start("sim", Rig.load("kinova_gen2"), {}, True, False, str(tmp_path / "0.arm.stop"), 50.0, [])
    client = MotionClient(start)
    yield client
    client.close()


def test_a_client_that_cannot_read_its_motion_process_any_more_says_so(babbling):
    told, ended = [], threading.Event()

    def on_end(failure):
        told.append(failure)
        ended.set()

    babbling.listen(lambda tick: None, lambda error: None, lambda refusal: None, on_end)
    assert ended.wait(30), "the end of the reader"
    assert "cannot be read" in told[0]
