"""A test's own node in the ROS graph, and the nodes under test as real processes. The environment is set by
tests/conftest.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from gr1_common.messages import nanoseconds
from gr1_common.qos import COMMAND, SENSOR

TIMEOUT = 30.0
_ANSWER_S = 5.0


class NodeProcess:
    """One node as `python -m module`, its output kept."""

    def __init__(self, module: str, *parameters: str, code: str | None = None):
        ros = (
            ["--ros-args", *[part for parameter in parameters for part in ("-p", parameter)]]
            if parameters
            else []
        )
        program = ["-c", code] if code else ["-m", module]
        self._process = subprocess.Popen(
            [sys.executable, *program, *ros],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ.copy(),
        )
        self._lines: list[str] = []
        self._new_line = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._new_line:
                self._lines.append(line)
                self._new_line.notify_all()

    def until(self, text: str, timeout: float = TIMEOUT) -> None:
        """Waits for a line that contains the text."""
        with self._new_line:
            found = self._new_line.wait_for(lambda: any(text in line for line in self._lines), timeout)
        assert found, f"no line with '{text}' within {timeout} s, but: {''.join(self._lines)}"

    def said(self, text: str) -> bool:
        """Whether a line so far contains the text."""
        with self._new_line:
            return any(text in line for line in self._lines)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float = TIMEOUT) -> tuple[int, str]:
        """Exit code and output."""
        code = self._process.wait(timeout)
        self._reader.join(timeout)
        return code, "".join(self._lines)

    def end(self) -> None:
        """Ends it in order, also if it is stopped, else kills it; may be called after its end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class RosClient:
    """A node that keeps every message of its subscriptions; each wait has a timeout that fails with a
    text.
    """

    def __init__(self, name: str = "test_client"):
        init_ros()
        self.node = Node(name)
        self._arrived = threading.Condition()
        self._messages = defaultdict(list)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self.subscribe("/diagnostics", DiagnosticArray, 10)

    def _spin(self) -> None:
        while not self._ending.is_set():
            self._executor.spin_once(timeout_sec=0.02)

    def subscribe(self, topic: str, kind, qos=SENSOR) -> None:
        def keep(message):
            with self._arrived:
                self._messages[topic].append(message)
                self._arrived.notify_all()

        self.node.create_subscription(kind, topic, keep, qos)

    def messages(self, topic: str) -> list:
        """Every message on `topic` so far."""
        with self._arrived:
            return list(self._messages[topic])

    def until(self, topic: str, test=lambda message: True, after: int = 0, timeout: float = TIMEOUT):
        """The first message on `topic`, from number `after` on, that passes the test."""
        found = []

        def search():
            found.extend(message for message in self._messages[topic][after:] if test(message))
            return bool(found)

        with self._arrived:
            assert self._arrived.wait_for(search, timeout), (
                f"nothing on '{topic}' passed the test within {timeout} s"
            )
        return found[0]

    def status(self, name: str, test=lambda status: True, after: int = 0, timeout: float = TIMEOUT):
        """The first diagnostic status of that name, from array number `after` on, that passes the test, and
        its values as a dict.
        """

        def pick(array):
            return next((status for status in array.status if status.name == name and test(status)), None)

        status = pick(self.until("/diagnostics", pick, after, timeout))
        return status, {item.key: item.value for item in status.values}

    def call(self, kind, name: str, request):
        """The response of a service."""
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(TIMEOUT), f"no service '{name}'"
        # A killed node's service stays in the graph for its lease: a request that is sent before its
        # successor is found reaches nobody.
        for _ in range(int(TIMEOUT / _ANSWER_S)):
            done = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _, done=done: done.set())
            if done.wait(_ANSWER_S):
                break
        else:
            raise AssertionError(f"service '{name}' did not answer")
        return future.result()

    def publisher(self, topic: str, kind, qos=COMMAND):
        """A publisher that has a subscriber."""
        publisher = self.node.create_publisher(kind, topic, qos)
        pause = threading.Event()
        for _ in range(int(TIMEOUT / 0.02)):
            if publisher.get_subscription_count():
                return publisher
            pause.wait(0.02)
        raise AssertionError(f"nobody subscribes to '{topic}'")

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self.node.destroy_node()


class PeriodicPublisher:
    """Publishes what `make()` returns, ten times a second, from a thread, until it is left."""

    def __init__(self, publisher, make, period: float = 0.1):
        self._ending = threading.Event()

        def work():
            while not self._ending.wait(period):
                publisher.publish(make())

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()


class SpinningNodes:
    """Nodes in a context of their own, spun by a thread."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.executor = SingleThreadedExecutor(context=self.context)
        self._ended = threading.Event()
        self.thread = threading.Thread(target=self._spin, daemon=True)

    def start(self, *nodes):
        for node in nodes:
            self.executor.add_node(node)
        self.thread.start()

    def _spin(self):
        while not self._ended.is_set():
            self.executor.spin_once(0.05)

    def close(self, last=lambda: None):
        """Stops spinning, calls `last` while publishers still work, then takes the nodes out of the graph."""
        self._ended.set()
        self.thread.join()
        last()
        nodes = self.executor.get_nodes()
        self.executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)


def stamp_ns(message) -> int:
    """The header's stamp in nanoseconds."""
    return nanoseconds(message.header.stamp)


def init_ros() -> None:
    """Initialises rclpy's default context once."""
    if not rclpy.ok():
        rclpy.init()
