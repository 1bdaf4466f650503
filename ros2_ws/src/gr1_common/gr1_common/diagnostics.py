"""A node's statuses on /diagnostics: once a second, and at once when a level changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)


NO_CLOCK = (
    "use_sim_time is true, but no node publishes /clock: start the simulator (or its clock bridge), or leave "
    "use_sim_time out"
)


class Diagnostics:
    """Publishes the newest status of each subject of one node.

    `status` may be called from any thread, at any rate. `refresh` is called in the executor's thread before
    each periodic publication, so that a node computes its statistics once a second and not at every event.
    """

    def __init__(self, node: Node, refresh: Callable[[], None] | None = None, period: float = 1.0):
        self._node = node
        self._refresh = refresh
        self._lock = threading.Lock()
        self._statuses: dict[str, DiagnosticStatus] = {}
        self._states: dict[str, tuple] = {}
        self._clock_missing = False
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        # A steady timer: with use_sim_time and a stopped clock, diagnostics must continue.
        self._timer = node.create_timer(
            period, self._publish_periodically, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def status(
        self, name: str, level: bytes, message: str, values: Mapping[str, object], state: object = None
    ) -> None:
        """Sets subject `name` (published as `<node>: <name>`); publishes it at once if `level` or `state` has
        changed.

        Floats are written with three decimals, other values with str().
        """
        status = DiagnosticStatus(
            level=level,
            name=f"{self._node.get_name()}: {name}",
            message=message,
            hardware_id=self._node.get_name(),
            values=[KeyValue(key=key, value=_to_text(value)) for key, value in values.items()],
        )
        with self._lock:
            self._statuses[name] = status
            changed = self._states.get(name) != (level, state)
            self._states[name] = (level, state)
        if changed:
            self._publish([status])

    def _publish_periodically(self) -> None:
        if self._refresh:
            self._refresh()
        self._check_clock()
        with self._lock:
            statuses = list(self._statuses.values())
        if statuses:
            self._publish(statuses)

    def _check_clock(self) -> None:
        """A node with simulated time and without /clock does nothing; this says why."""
        clock = self._node.get_clock()
        missing = clock.ros_time_is_active and clock.now().nanoseconds == 0
        if missing and not self._clock_missing:
            self._node.get_logger().error(NO_CLOCK)
        if missing:
            self.status("clock", ERROR, NO_CLOCK, {})
        elif self._clock_missing:
            self.status("clock", OK, "/clock is there", {})
        self._clock_missing = missing

    def _publish(self, statuses: list[DiagnosticStatus]) -> None:
        message = DiagnosticArray(status=statuses)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def _to_text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
