"""Topics and the service of the simulated arm only: the simulator's state, the task, its success, new
episodes.
"""

from __future__ import annotations

import array
import json

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Header, String
from std_srvs.srv import Trigger

from gr1_common.conventions import BASE_FRAME
from gr1_common.parameters import declare
from gr1_common.qos import COMMAND, LATCHED, SENSOR
from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.motion_client import MotionClient
from gr1_robot.arm.simulated_scene import SimulationSample


class SimulationTopics:
    """Declares `sim.state_hz` and opens the topics; `attach` adds the service of a running motion process."""

    def __init__(self, node: Node):
        self._node = node
        self.state_hz: float = declare(
            node, "sim.state_hz", 50.0, "Rate of sim/state, Hz.", low=1.0, high=100.0, read_only=True
        )
        self._state = node.create_publisher(JointState, "sim/state", SENSOR)
        self._success = node.create_publisher(Bool, "sim/success", COMMAND)
        self._task = node.create_publisher(String, "sim/task", LATCHED)

    def attach(self, motion: MotionClient) -> None:
        self._motion = motion
        self._node.create_service(Trigger, "sim/reset", self._on_reset)
        self._task.publish(String(data=json.dumps(motion.describe_scene())))

    def publish(self, sample: SimulationSample, stamp) -> None:
        if sample.state is not None:
            header = Header(stamp=stamp, frame_id=BASE_FRAME)
            self._state.publish(JointState(header=header, position=array.array("d", sample.state.tobytes())))
        if sample.success is not None:
            self._success.publish(Bool(data=sample.success))

    def _on_reset(self, _, response: Trigger.Response) -> Trigger.Response:
        try:
            scene = self._motion.reset_scene(self._parameter("task"), self._parameter("seed"))
        except ArmError as error:
            response.success, response.message = False, f"no new episode: {error}"
            return response
        response.success, response.message = True, json.dumps(scene)
        self._task.publish(String(data=response.message))
        return response

    def _parameter(self, name: str):
        return self._node.get_parameter(f"sim.{name}").value
