"""The check's node in the ROS graph: keeps messages with their stamps, commands the arm, calls services."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float32
from std_srvs.srv import Trigger

from gr1_common.messages import from_pose, from_twist, msg_to_image, seconds, to_twist
from gr1_common.qos import COMMAND
from gr1_common.stack_monitor import StackMonitor, Status
from gr1_core.rig import ROLES

# Deep, so that a busy computer loses nothing: all figures come from the senders' stamps.
_ALL = QoSProfile(depth=500, reliability=ReliabilityPolicy.BEST_EFFORT)
_CHECK_PERIOD_S = 0.1
SERVICES = ("stop", "reset", "home")


class Trace:
    """The samples of one topic: rows of stamp (s, the sender's clock), arrival (s, the same clock here) and
    values.
    """

    def __init__(self):
        self.rows: list[tuple[float, ...]] = []

    def since(self, moment: float) -> np.ndarray:
        """f64[n, 2 + k]: the rows that arrived from `moment` on, in order of arrival; k is 0 before the
        first sample.
        """
        first = len(self.rows)
        while first and self.rows[first - 1][1] >= moment:
            first -= 1
        found = self.rows[first:]
        return np.array(found, np.float64).reshape(len(found), len(self.rows[0]) if self.rows else 2)

    @property
    def newest(self) -> np.ndarray | None:
        """The values of the newest sample."""
        return np.array(self.rows[-1][2:]) if self.rows else None


class _PromptMonitor(StackMonitor):
    """A monitor that does not lower its priority: it watches a motion."""

    def _spin(self) -> None:
        while not self._ended.is_set():
            self._executor.spin_once(timeout_sec=0.1)


class RigClient:
    """Close it with `close()`. alive: called while waiting; raises when a node of the rig has ended."""

    def __init__(self, namespace: str = "", alive: Callable[[], None] = lambda: None):
        self.monitor, self._alive = _PromptMonitor("gr1_check", namespace), alive
        self._node = self.monitor.node
        self._changed = threading.Condition()
        self.pose = self._trace(PoseStamped, "arm/pose", lambda msg: np.concatenate(from_pose(msg.pose)))
        self.commanded = self._trace(
            PoseStamped, "arm/commanded_pose", lambda msg: np.concatenate(from_pose(msg.pose))
        )
        self.twist = self._trace(
            TwistStamped, "arm/commanded_twist", lambda msg: np.concatenate(from_twist(msg.twist))
        )
        self.joints = self._trace(JointState, "joint_states", lambda msg: msg.position)
        self.gripper = self._trace(JointState, "arm/gripper", lambda msg: msg.position)
        self.wrench = self._trace(WrenchStamped, "arm/wrench", lambda msg: _six(msg.wrench))
        self.cameras = {
            role: self._trace(CameraInfo, f"camera/{role}/camera_info", lambda msg: ()) for role in ROLES
        }
        self._twist_publisher = self._node.create_publisher(TwistStamped, "command/teleop/twist", COMMAND)
        self._gripper_publisher = self._node.create_publisher(Float32, "command/teleop/gripper", COMMAND)
        self._services = {name: self._node.create_client(Trigger, f"arm/{name}") for name in SERVICES}
        self.monitor.start()

    def close(self) -> None:
        self.monitor.close()

    # Waiting

    def wait(self, condition: Callable[[], object], timeout: float) -> bool:
        """Waits until the condition holds; False when it has not within `timeout` seconds."""
        until = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._alive()
                self._changed.wait(min(left, _CHECK_PERIOD_S))
        return True

    def collect(self, duration: float) -> float:
        """Collects samples for `duration` seconds; returns when it began, on the stamps' clock."""
        began = time.time()
        self.wait(lambda: False, duration)
        return began

    # Statuses

    def statuses(self, node: str) -> dict[str, Status]:
        """The node's subjects on /diagnostics that have values."""
        seen = self.monitor.snapshot().statuses
        return {
            name.partition(": ")[2]: status
            for name, status in seen.items()
            if name.startswith(f"{node}: ") and status.values
        }

    def value(self, node: str, key: str) -> str | None:
        """The first value of that key among the node's subjects."""
        return next(
            (status.values[key] for status in self.statuses(node).values() if key in status.values), None
        )

    def gate(self) -> dict[str, str]:
        status = self.statuses("arm").get("gate")
        return status.values if status else {}

    def images(self, role: str, count: int, timeout: float) -> list[np.ndarray]:
        """The next `count` frames u8[H, W, 3] RGB; fewer where the timeout comes first."""
        frames: list[np.ndarray] = []

        def keep(message: Image) -> None:
            if len(frames) < count:
                frames.append(msg_to_image(message).copy())
                self._notify()

        subscription = self._node.create_subscription(Image, f"camera/{role}/image_raw", keep, _ALL)
        try:
            self.wait(lambda: len(frames) == count, timeout)
        finally:
            self._node.destroy_subscription(subscription)
        return frames

    # Commands

    def is_connected(self) -> bool:
        return (
            self._twist_publisher.get_subscription_count() > 0
            and self._gripper_publisher.get_subscription_count() > 0
        )

    def send_twist(self, linear, angular) -> float:
        """m/s and rad/s in the base frame; returns the time of sending, s."""
        message = TwistStamped(twist=to_twist(linear, angular))
        message.header.stamp = self._node.get_clock().now().to_msg()
        now = time.time()
        self._twist_publisher.publish(message)
        return now

    def send_gripper(self, closure: float) -> None:
        """0 open .. 1 closed."""
        self._gripper_publisher.publish(Float32(data=float(closure)))

    def call_service(self, service: str, timeout: float = 5.0) -> tuple[bool, str, float]:
        """(success, the arm node's message, time of the call). Does not check whether the rig is alive."""
        client, done = self._services[service], threading.Event()
        if not client.wait_for_service(timeout):
            return False, f"no service arm/{service}", time.time()
        called = time.time()
        future = client.call_async(Trigger.Request())
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout):
            return False, f"arm/{service} has not answered within {timeout:.0f} s", called
        return future.result().success, future.result().message, called

    def _trace(self, kind, topic: str, values: Callable) -> Trace:
        trace = Trace()

        def on_message(message) -> None:
            trace.rows.append((seconds(message.header.stamp), time.time(), *values(message)))
            self._notify()

        self._node.create_subscription(kind, topic, on_message, _ALL)
        return trace

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _six(wrench) -> tuple[float, ...]:
    force, torque = wrench.force, wrench.torque
    return force.x, force.y, force.z, torque.x, torque.y, torque.z
