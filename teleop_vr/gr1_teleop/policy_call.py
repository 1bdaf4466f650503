"""A call of the policy, from its topics to the pages, and back: `policy/call`, `policy/call/image`,
`policy/confirm`.
"""

from __future__ import annotations

import json
import threading

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common.qos import LATCHED
from gr1_teleop.robot_state import RobotState

_ANSWER_S = 2.0


class PolicyCall:
    """Keeps `robot` informed; gives it `confirm_call`, which blocks and is not for the executor's thread."""

    def __init__(self, node: Node, robot: RobotState):
        self._confirm = node.create_client(Trigger, "policy/confirm")
        node.create_subscription(
            String,
            "policy/call",
            lambda message: robot.set_call(json.loads(message.data)),
            QoSProfile(depth=10),
        )
        node.create_subscription(
            CompressedImage,
            "policy/call/image",
            lambda message: robot.set_call_image(bytes(message.data)),
            LATCHED,
        )
        robot.confirm_call = self.confirm

    def confirm(self) -> tuple[bool, str]:
        """Whether a call was answered, and a text for the person."""
        if not self._confirm.service_is_ready():
            return False, "no policy is running"
        done = threading.Event()
        future = self._confirm.call_async(Trigger.Request())
        future.add_done_callback(lambda _: done.set())
        if not done.wait(_ANSWER_S):
            return False, f"the policy has not answered for {_ANSWER_S:g} s"
        return future.result().success, future.result().message
