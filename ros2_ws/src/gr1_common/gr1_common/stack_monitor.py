"""Monitors a running stack through its topics: for programs beside the nodes (`gr1 up`, `gr1 measure`, `gr1
check rig`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from gr1_common.qos import LATCHED
from gr1_common.scheduling import lower_scheduling_priority

_CLOSE_S = 5.0
LEVELS = ("OK", "WARN", "ERROR", "STALE")
"""Names of DiagnosticStatus.level, by its value."""


@dataclass(frozen=True)
class Status:
    """One subject of /diagnostics. at: when it arrived, s on the steady clock."""

    level: str
    message: str
    values: dict[str, str]
    at: float

    def number(self, key: str) -> float | None:
        """The value `key` as a number; None where there is none."""
        try:
            return float(self.values[key])
        except (KeyError, ValueError):
            return None


@dataclass
class StackSnapshot:
    """What the stack has published so far: statuses by their name, such as "arm: gate", and the
    instruction.
    """

    statuses: dict[str, Status] = field(default_factory=dict)
    instruction: str = ""


class StackMonitor:
    """A ROS node with its own context and thread. End it with `close()`.

    instruction: the policy's instruction before any message on the topic `instruction`.
    """

    def __init__(self, name: str, namespace: str = "", instruction: str = ""):
        self.context = rclpy.Context()
        # The monitoring process handles signals itself.
        rclpy.init(args=[], context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node(
            name, context=self.context, namespace=namespace, use_global_arguments=False
        )
        self._newest, self._lock = StackSnapshot(instruction=instruction), threading.Lock()
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self.node.create_subscription(String, "instruction", self._on_instruction, LATCHED)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)

    def start(self) -> None:
        """Starts to listen. Create further subscriptions on `node` before."""
        self._thread.start()

    def snapshot(self) -> StackSnapshot:
        with self._lock:
            return StackSnapshot(dict(self._newest.statuses), self._newest.instruction)

    def clear_statuses(self) -> None:
        """Drops all statuses: those that arrive from now on are from the stack that is about to start."""
        with self._lock:
            self._newest.statuses.clear()

    def node_counts(self) -> Counter[str]:
        """How often each node name is in the graph, in this monitor's namespace."""
        mine = self.node.get_namespace()
        return Counter(
            name for name, namespace in self.node.get_node_names_and_namespaces() if namespace == mine
        )

    def close(self) -> None:
        """Returns after a few seconds at the latest: a process that was killed may have left a lock in the
        middleware's shared memory, for which the node would wait.
        """
        self._ended.set()
        closing = threading.Thread(target=self._destroy, name="closing", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)

    def _destroy(self) -> None:
        if self._thread.is_alive():
            self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _spin(self) -> None:
        lower_scheduling_priority()
        while not self._ended.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        with self._lock:
            for status in message.status:
                values = {pair.key: pair.value for pair in status.values}
                self._newest.statuses[status.name] = Status(
                    LEVELS[ord(status.level)], status.message, values, now
                )

    def _on_instruction(self, message: String) -> None:
        with self._lock:
            self._newest.instruction = message.data
