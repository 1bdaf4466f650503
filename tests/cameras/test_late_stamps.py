"""Frames whose stamps lag behind: the status says that, and not that the camera is silent."""

import re
import threading
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray

from gr1_common.diagnostics import ERROR, OK, WARN
from gr1_robot.cameras import node as camera_node
from gr1_robot.cameras.device_clock import DeviceClock
from gr1_robot.cameras.driver import CameraDriver, Frame
from tests.support import ros_graph
from tests.support.waiting import eventually

FPS = 30.0


class Late(CameraDriver):
    """30 frames a second. Their stamps claim the host's clock, but are `late` seconds behind it."""

    late = 0.0
    silent = False

    def open(self):
        self.clock, self.rate_hz, self._next = DeviceClock(), FPS, time.monotonic()

    def read(self, timeout):
        if self.silent:
            threading.Event().wait(timeout)
            return None
        self._next += 1 / FPS
        threading.Event().wait(max(0.0, self._next - time.monotonic()))
        arrival = self.arrival()
        stamp = self.clock.stamp(arrival.wall - int(self.late * 1e9), arrival, True)
        return stamp and Frame(stamp, np.zeros((self.height, self.width, 3), np.uint8), np.eye(3))

    def close(self):
        pass

    def describe(self):
        return "a late camera"

    def missing(self):
        return "a late camera is open, but sends no frame"

    def warning(self):
        return self.clock.warning()


@pytest.fixture
def status(monkeypatch):
    """status(late): runs the camera node; returns its driver and a function that gives the newest (level,
    message).
    """
    ros_graph.init_ros()
    made, heard = [], []

    def run(late):
        def load(kind, *arguments):
            driver = Late(*arguments)
            driver.late = late
            made.append(driver)
            return driver

        monkeypatch.setattr(camera_node, "load_driver", load)
        node = camera_node.CameraNode()
        listener = rclpy.create_node("listener")
        listener.create_subscription(
            DiagnosticArray,
            "/diagnostics",
            lambda array: heard.extend(
                (one.level, one.message) for one in array.status if one.name == "camera_static: stream"
            ),
            50,
        )
        executor = rclpy.executors.SingleThreadedExecutor()
        executor.add_node(node)
        executor.add_node(listener)
        thread = threading.Thread(target=executor.spin, daemon=True)
        thread.start()
        made.append((node, listener, executor, thread))
        return made[-2], lambda wanted: eventually(
            lambda: next(filter(wanted, reversed(heard)), None), f"such a status, but {heard}"
        )

    yield run
    for node, listener, executor, thread in (one for one in made if isinstance(one, tuple)):
        executor.shutdown()
        thread.join()
        node.close()
        node.destroy_node()
        listener.destroy_node()


@pytest.mark.parametrize("late", [0.32, 0.7])
def test_stamps_older_than_the_rig_allows_are_named_and_not_a_silent_camera(status, late):
    _, until_heard = status(late)
    _, message = until_heard(lambda heard: heard[0] == ERROR and "after their stamp" in heard[1])
    said = re.match(r"frames come (\d+) ms after their stamp, the rig allows 150 ms: ", message)
    assert said and 1e3 * late <= int(said[1]) < 1e3 * late + 500
    assert "sends no frame" not in message


def test_stamps_a_little_late_are_a_warning_and_right_ones_are_none(status):
    _, until_heard = status(0.12)
    _, message = until_heard(lambda heard: heard[0] == WARN and "after their exposure" in heard[1])
    assert "limit 100 ms" in message


def test_a_camera_that_falls_silent_has_stopped(status):
    driver, until_heard = status(0.0)
    until_heard(lambda heard: heard[0] == OK)
    driver.silent = True
    stopped = "the stream has stopped: a late camera is open, but sends no frame"
    until_heard(lambda heard: heard == (ERROR, stopped))
