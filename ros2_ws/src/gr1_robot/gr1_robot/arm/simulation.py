"""What the arm node publishes and serves only when the arm is simulated: the simulator's state, the task, its success, new episodes."""

from __future__ import annotations

import array
import json
from typing import NamedTuple

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Header, String
from std_srvs.srv import Trigger

from gr1_common.loop import Loop
from gr1_common.parameters import declare
from gr1_common.qos import COMMAND, LATCHED, SENSOR
from gr1_robot.arm.arm import Arm
from gr1_robot.arm.gate import TICK

FRAME = "base_link"
_SUCCESS_EVERY = 10


class View(NamedTuple):
    """state f64[n] (Twin.state()) and the task's success; None where nothing is due."""

    state: np.ndarray | None
    success: bool | None


class Simulation:
    """Declares `sim.state_hz` at once; `attach` opens the topics and the service when the arm is there."""

    def __init__(self, node: Node):
        self._node = node
        hz = declare(node, "sim.state_hz", 50.0, "Rate of sim/state.", low=1.0, high=100.0, read_only=True)
        self._state_every = max(round(1.0 / (hz * TICK)), 1)
        self._ticks = 0
        self._episode = 0

    def attach(self, arm: Arm, loop: Loop) -> None:
        self._arm, self._loop, self._twin = arm, loop, arm.backend.twin
        self._state = self._node.create_publisher(JointState, "sim/state", SENSOR)
        self._success = self._node.create_publisher(Bool, "sim/success", COMMAND)
        self._task = self._node.create_publisher(String, "sim/task", LATCHED)
        self._node.create_service(Trigger, "sim/reset", self._on_reset)
        self._task.publish(String(data=self._describe()))

    def look(self) -> View:
        """What is to be published of this tick; called once a tick in the arm's loop, after its step."""
        self._ticks += 1
        with self._arm.lock:
            state = self._twin.state() if self._ticks % self._state_every == 0 else None
            success = self._twin.success() if self._ticks % _SUCCESS_EVERY == 0 else None
        return View(state, success)

    def publish(self, view: View, stamp) -> None:
        if view.state is not None:
            header = Header(stamp=stamp, frame_id=FRAME)
            self._state.publish(JointState(header=header, position=array.array("d", view.state.tobytes())))
        if view.success is not None:
            self._success.publish(Bool(data=bool(view.success)))

    def _on_reset(self, _, response: Trigger.Response) -> Trigger.Response:
        with self._arm.lock:
            self._arm.backend.reset(self._parameter("task"), self._parameter("seed"))
            self._arm.restart()
            self._episode += 1
            response.message = self._describe()
            self._loop.excuse()
        self._task.publish(String(data=response.message))
        response.success = True
        return response

    def _describe(self) -> str:
        twin, seed = self._twin, self._parameter("seed")
        return json.dumps(
            {"task": twin.task.name, "seed": seed, "instruction": twin.instruction, "episode": self._episode}
        )

    def _parameter(self, name: str):
        return self._node.get_parameter(f"sim.{name}").value
