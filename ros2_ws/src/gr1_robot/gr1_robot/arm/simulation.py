"""Topics and the service of the simulated arm only: the simulator's state, the task, its success, new
episodes.
"""

from __future__ import annotations

import array
import json
from typing import NamedTuple

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Header, String
from std_srvs.srv import Trigger

from gr1_common.conventions import BASE_FRAME, TICK
from gr1_common.loop import Loop
from gr1_common.parameters import declare
from gr1_common.qos import COMMAND, LATCHED, SENSOR
from gr1_robot.arm.controller import ArmController

_SUCCESS_PERIOD_TICKS = 10


class SimulationSample(NamedTuple):
    """state f64[n] (Twin.state()) and the task's success; None where nothing is due."""

    state: np.ndarray | None
    success: bool | None


class SimulationTopics:
    """Declares `sim.state_hz` at once; `attach` creates the topics and the service when the arm is
    connected.
    """

    def __init__(self, node: Node):
        self._node = node
        hz = declare(
            node, "sim.state_hz", 50.0, "Rate of sim/state, Hz.", low=1.0, high=100.0, read_only=True
        )
        self._state_period_ticks = max(round(1.0 / (hz * TICK)), 1)
        self._ticks = 0
        self._episode = 0

    def attach(self, controller: ArmController, loop: Loop) -> None:
        self._controller, self._loop, self._twin = controller, loop, controller.backend.twin
        self._state = self._node.create_publisher(JointState, "sim/state", SENSOR)
        self._success = self._node.create_publisher(Bool, "sim/success", COMMAND)
        self._task = self._node.create_publisher(String, "sim/task", LATCHED)
        self._node.create_service(Trigger, "sim/reset", self._on_reset)
        self._task.publish(String(data=self._describe_task()))

    def sample(self) -> SimulationSample:
        """What is to be published of this tick; called once a tick in the arm's loop, after its step."""
        self._ticks += 1
        with self._controller.lock:
            state = self._twin.state() if self._ticks % self._state_period_ticks == 0 else None
            success = self._twin.success() if self._ticks % _SUCCESS_PERIOD_TICKS == 0 else None
        return SimulationSample(state, success)

    def publish(self, sample: SimulationSample, stamp) -> None:
        if sample.state is not None:
            header = Header(stamp=stamp, frame_id=BASE_FRAME)
            self._state.publish(JointState(header=header, position=array.array("d", sample.state.tobytes())))
        if sample.success is not None:
            self._success.publish(Bool(data=bool(sample.success)))

    def _on_reset(self, _, response: Trigger.Response) -> Trigger.Response:
        with self._controller.lock:
            self._controller.backend.reset(self._parameter("task"), self._parameter("seed"))
            self._controller.restart()
            self._episode += 1
            response.message = self._describe_task()
            self._loop.restart_timing()
        self._task.publish(String(data=response.message))
        response.success = True
        return response

    def _describe_task(self) -> str:
        twin, seed = self._twin, self._parameter("seed")
        return json.dumps(
            {"task": twin.task.name, "seed": seed, "instruction": twin.instruction, "episode": self._episode}
        )

    def _parameter(self, name: str):
        return self._node.get_parameter(f"sim.{name}").value
