"""What the scripted operator sees of the running simulated stack."""

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
from gr1_core.pose import Pose

TIMEOUT_S = 60.0


class NotSeen(AssertionError):
    """An awaited event did not happen in time."""


class StackObserver:
    """A ROS node in its own thread. Waiting raises NotSeen after a minute."""

    def __init__(self):
        if not rclpy.ok():
            rclpy.init()
        self.node = node = rclpy.create_node("operator_observer")
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

    def clutch(self, wanted: str, within: float = TIMEOUT_S) -> None:
        """Waits until the clutch is "open" or "engaged"."""
        self._until(
            f"a clutch that is {wanted}",
            lambda: self._seen.get("operator", {}).get("clutch") == wanted,
            within,
        )

    def recorder(self) -> dict:
        """The last message of recorder/state."""
        return self._get("recorder")

    def recording(self, state: str, outcome: str = "", within: float = TIMEOUT_S) -> dict:
        """Waits for this state ("recording" or "idle") and outcome; returns the message."""

        def holds() -> bool:
            told = self._seen.get("recorder", {})
            return (told.get("state"), told.get("outcome")) == (state, outcome)

        self._until(f"a recorder that is {state} {outcome}", holds, within)
        return self._get("recorder")

    def scene(self, seed: int) -> dict:
        """Waits for the scene of this seed and its instruction; returns {"task", "seed", "instruction",
        "episode"}."""

        def is_set_up() -> bool:
            task = self._seen.get("task", {})
            return task.get("seed") == seed and (
                task["episode"] == 0 or self._seen.get("instruction") == task["instruction"]
            )

        self._until(f"the scene of seed {seed}", is_set_up)
        with self._changed:
            self._seen["success"] = False  # the last scene's success may still be stored
        return self._get("task")

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def _get(self, what: str):
        self._until(what, lambda: what in self._seen)
        return self._seen[what]

    def _until(self, what: str, holds, within: float = TIMEOUT_S) -> None:
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
