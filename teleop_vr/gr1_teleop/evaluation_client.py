"""An evaluation on the rig (`gr1 evaluate rig`), from its topics to the pages, and verdicts back."""

from __future__ import annotations

import json

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from gr1_common.qos import LATCHED
from gr1_teleop.robot_state import RobotState

NO_EVALUATION = "no evaluation is running: start one with gr1 evaluate rig"


class EvaluationClient:
    """Keeps `robot` informed; gives it `judge`, which may be called from any thread."""

    def __init__(self, node: Node, robot: RobotState):
        self._robot = robot
        self._verdict = node.create_publisher(String, "evaluation/verdict", QoSProfile(depth=10))
        node.create_subscription(
            String,
            "evaluation/state",
            lambda message: robot.set_evaluation(json.loads(message.data)),
            LATCHED,
        )
        node.create_subscription(
            CompressedImage,
            "evaluation/start_scene",
            lambda message: robot.set_start_scene(bytes(message.data)),
            LATCHED,
        )
        robot.judge = self.judge

    def judge(self, verdict: str) -> tuple[bool, str]:
        """Passes a verdict on; whether there is an evaluation, and a text for the person."""
        if not self._robot.evaluation:
            return False, NO_EVALUATION
        self._verdict.publish(String(data=verdict))
        return True, f"noted: {verdict.replace(':', ', ')}"
