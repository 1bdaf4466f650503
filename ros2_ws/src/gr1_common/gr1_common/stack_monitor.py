"""Watches a running stack through its topics: what `gr1 up` shows and `gr1_check.measure` reports."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LEVELS = ("OK", "WARN", "ERROR", "STALE")


def yield_to_control() -> None:
    """Lets the calling thread, and those that it starts, wait for the nodes: who only watches must not cost them a control period."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


@dataclass(frozen=True)
class Status:
    """One subject of /diagnostics. `at` is when it came, on the steady clock."""

    level: str
    message: str
    values: dict[str, str]
    at: float

    def number(self, key: str) -> float | None:
        try:
            return float(self.values[key])
        except (KeyError, ValueError):
            return None


@dataclass
class Seen:
    """What the stack has said so far."""

    statuses: dict[str, Status] = field(default_factory=dict)
    instruction: str = ""


class Monitor:
    """A ROS node of its own context in a thread of its own; `seen()` is a snapshot. Close it with `close()`.

    instruction: what the policy was told before any message on the topic `instruction`.
    """

    def __init__(self, name: str, namespace: str = "", instruction: str = ""):
        self.context = rclpy.Context()
        # The process that watches decides itself what a signal means.
        rclpy.init(args=[], context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node(
            name, context=self.context, namespace=namespace, use_global_arguments=False
        )
        self._seen, self._lock = Seen(instruction=instruction), threading.Lock()
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnostics, 50)
        self.node.create_subscription(String, "instruction", self._instruction, LATCHED)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)

    def start(self) -> None:
        """Begins to listen; create further subscriptions on `node` before."""
        self._thread.start()

    def seen(self) -> Seen:
        with self._lock:
            return Seen(dict(self._seen.statuses), self._seen.instruction)

    def forget(self) -> None:
        """Drops all statuses: what comes from now on is from the stack that is about to start."""
        with self._lock:
            self._seen.statuses.clear()

    def present(self) -> Counter[str]:
        """How often each node name is in the graph, in this monitor's own namespace."""
        mine = self.node.get_namespace()
        return Counter(
            name for name, namespace in self.node.get_node_names_and_namespaces() if namespace == mine
        )

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _spin(self) -> None:
        yield_to_control()
        while not self._ended.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def _diagnostics(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        with self._lock:
            for status in message.status:
                values = {pair.key: pair.value for pair in status.values}
                self._seen.statuses[status.name] = Status(
                    LEVELS[ord(status.level)], status.message, values, now
                )

    def _instruction(self, message: String) -> None:
        with self._lock:
            self._seen.instruction = message.data
