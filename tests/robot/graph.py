"""A test's ear and mouth in a ROS graph, and the nodes under test as real processes."""

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

from gr1_common.messages import nanoseconds
from gr1_common.qos import COMMAND, SENSOR

TIMEOUT = 30.0
_ANSWER_S = 5.0


class Process:
    """One node as `python -m module`, its output kept."""

    def __init__(self, module: str, *parameters: str, code: str | None = None):
        ros = (
            ["--ros-args", *[part for parameter in parameters for part in ("-p", parameter)]]
            if parameters
            else []
        )
        what = ["-c", code] if code else ["-m", module]
        self._process = subprocess.Popen(
            [sys.executable, *what, *ros],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ.copy(),
        )
        self._lines: list[str] = []
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._said:
                self._lines.append(line)
                self._said.notify_all()

    def until(self, text: str, timeout: float = TIMEOUT) -> None:
        """Waits for a line that holds the text."""
        with self._said:
            said = self._said.wait_for(lambda: any(text in line for line in self._lines), timeout)
        assert said, f"no line with '{text}' within {timeout} s, but: {''.join(self._lines)}"

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float = TIMEOUT) -> tuple[int, str]:
        """Exit code and output."""
        code = self._process.wait(timeout)
        self._reader.join(timeout)
        return code, "".join(self._lines)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()


class Ear:
    """Keeps every message of the topics that it hears; `until` waits for one, with a timeout that fails loudly."""

    def __init__(self, name: str = "ear"):
        self.node = Node(name)
        self._arrived = threading.Condition()
        self._messages = defaultdict(list)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self.hear("/diagnostics", DiagnosticArray, 10)

    def _spin(self) -> None:
        while not self._ending.is_set():
            self._executor.spin_once(timeout_sec=0.02)

    def hear(self, topic: str, kind, qos=SENSOR) -> None:
        def keep(message):
            with self._arrived:
                self._messages[topic].append(message)
                self._arrived.notify_all()

        self.node.create_subscription(kind, topic, keep, qos)

    def heard(self, topic: str) -> list:
        with self._arrived:
            return list(self._messages[topic])

    def until(self, topic: str, test=lambda message: True, after: int = 0, timeout: float = TIMEOUT):
        """The first message on `topic`, from number `after` on, that passes the test."""
        found = []

        def look():
            found.extend(message for message in self._messages[topic][after:] if test(message))
            return bool(found)

        with self._arrived:
            assert self._arrived.wait_for(look, timeout), (
                f"nothing on '{topic}' passed the test within {timeout} s"
            )
        return found[0]

    def status(self, name: str, test=lambda status: True, after: int = 0, timeout: float = TIMEOUT):
        """The first diagnostic status of that name, from array number `after` on, that passes the test, and its values as a dictionary."""

        def pick(array):
            return next((status for status in array.status if status.name == name and test(status)), None)

        status = pick(self.until("/diagnostics", pick, after, timeout))
        return status, {item.key: item.value for item in status.values}

    def call(self, kind, name: str, request):
        """The response of a service."""
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(TIMEOUT), f"no service '{name}'"
        # A killed node's service stays in the graph for its lease: a request that is sent before its successor is found reaches nobody.
        for _ in range(int(TIMEOUT / _ANSWER_S)):
            done = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _, done=done: done.set())
            if done.wait(_ANSWER_S):
                break
        else:
            raise AssertionError(f"service '{name}' did not answer")
        return future.result()

    def say(self, topic: str, kind, qos=COMMAND):
        """A publisher that someone listens to."""
        publisher = self.node.create_publisher(kind, topic, qos)
        deadline = threading.Event()
        for _ in range(int(TIMEOUT / 0.02)):
            if publisher.get_subscription_count():
                return publisher
            deadline.wait(0.02)
        raise AssertionError(f"nobody listens to '{topic}'")

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self.node.destroy_node()


class Stream:
    """Publishes what `make()` returns, ten times a second, from a thread, until it is closed."""

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


def stamp(message) -> int:
    """The header's stamp in nanoseconds."""
    return nanoseconds(message.header.stamp)


def start() -> None:
    if not rclpy.ok():
        rclpy.init()
