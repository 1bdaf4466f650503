"""Where the scripted operator stands: what it sees of the running simulated stack (as a person sees table and screens)."""

from __future__ import annotations

import json
import threading

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String

from gr1_common.messages import from_pose
from gr1_common.qos import COMMAND, LATCHED, SENSOR
from gr1_robot.arm.backend import Pose

PATIENCE_S = 60.0


class NotSeen(AssertionError):
    """Something waited for has not come."""


class Stand:
    """A ROS node in a thread of its own; what is waited for raises NotSeen after a minute."""

    def __init__(self):
        if not rclpy.ok():
            rclpy.init()
        self.node = node = rclpy.create_node("operator_stand")
        self._changed, self._seen = threading.Condition(), {}
        node.create_subscription(
            JointState, "sim/state", lambda m: self._see(state=np.frombuffer(m.position, np.float64)), SENSOR
        )
        node.create_subscription(
            PoseStamped, "arm/commanded_pose", lambda m: self._see(pose=Pose(*from_pose(m.pose))), SENSOR
        )
        node.create_subscription(Bool, "sim/success", lambda m: self._see(success=m.data), COMMAND)
        node.create_subscription(String, "sim/task", lambda m: self._see(task=json.loads(m.data)), LATCHED)
        node.create_subscription(String, "instruction", lambda m: self._see(instruction=m.data), LATCHED)
        node.create_subscription(
            String, "recorder/state", lambda m: self._see(recorder=json.loads(m.data)), LATCHED
        )
        node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnostics, 50)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def state(self) -> np.ndarray:
        return self._get("state")

    def pose(self) -> Pose:
        return self._get("pose")

    def success(self) -> bool:
        return self._get("success")

    def operator(self, key: str) -> str:
        return self._get("operator")[key]

    def clutch(self, wanted: str, within: float = PATIENCE_S) -> None:
        """Waits until the clutch is "open" or "engaged"."""
        self._until(
            f"a clutch that is {wanted}",
            lambda: self._seen.get("operator", {}).get("clutch") == wanted,
            within,
        )

    def recorder(self) -> dict:
        """What the recorder says."""
        return self._get("recorder")

    def recording(self, state: str, outcome: str = "", within: float = PATIENCE_S) -> dict:
        """What the recorder says once it is "recording", or "idle" after that outcome."""

        def holds() -> bool:
            told = self._seen.get("recorder", {})
            return (told.get("state"), told.get("outcome")) == (state, outcome)

        self._until(f"a recorder that is {state} {outcome}", holds, within)
        return self._get("recorder")

    def table(self, seed: int) -> dict:
        """Of the table of that seed, once it is laid and its words are said: {"task", "seed", "instruction", "episode"}."""

        def laid() -> bool:
            task = self._seen.get("task", {})
            return task.get("seed") == seed and (
                task["episode"] == 0 or self._seen.get("instruction") == task["instruction"]
            )

        self._until(f"the table of seed {seed}", laid)
        with self._changed:
            self._seen["success"] = False  # what was said of the table before may still stand
        return self._get("task")

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def _get(self, what: str):
        self._until(what, lambda: what in self._seen)
        return self._seen[what]

    def _until(self, what: str, holds, within: float = PATIENCE_S) -> None:
        with self._changed:
            if not self._changed.wait_for(holds, within):
                raise NotSeen(f"not seen within {within:g} s: {what}; operator {self._seen.get('operator')}")

    def _see(self, **facts) -> None:
        with self._changed:
            self._seen |= facts
            self._changed.notify_all()

    def _diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "teleop: operator":
                self._see(operator={pair.key: pair.value for pair in status.values})
