"""Simulated rig only: resets the scene after each episode and publishes the new scene's instruction."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common.qos import LATCHED

TIMEOUT_S = 10.0


class SceneResetError(RuntimeError):
    """The scene could not be reset; the text says why."""


class SceneReset:
    """Client of the simulated arm's services.

    keep_instruction(): whether a person gave the present instruction, which then stays.
    publish_instruction(text): publishes the new scene's instruction.
    """

    def __init__(
        self, node: Node, keep_instruction: Callable[[], bool], publish_instruction: Callable[[str], None]
    ):
        self._keep_instruction, self._publish_instruction = keep_instruction, publish_instruction
        self._task: dict = {}
        node.create_subscription(String, "sim/task", self._on_task, LATCHED)
        self._set = node.create_client(SetParameters, "arm/set_parameters")
        self._reset = node.create_client(Trigger, "sim/reset")

    def next_scene(self) -> None:
        """Resets to the same task with the next seed. Raises SceneResetError.

        Publishes the new scene's instruction, unless a person gave the present one.
        Blocks until the executor has received the responses: call it from another thread.
        """
        if "seed" not in self._task:
            raise SceneResetError("scene not reset: no message on sim/task; is the simulated arm running?")
        seed = Parameter("sim.seed", value=int(self._task["seed"]) + 1).to_parameter_msg()
        answer = self._call(self._set, SetParameters.Request(parameters=[seed]))
        if refused := [result.reason for result in answer.results if not result.successful]:
            raise SceneResetError(f"scene not reset: {refused[0]}")
        answer = self._call(self._reset, Trigger.Request())
        if not answer.success:
            raise SceneResetError(f"scene not reset: {answer.message}")
        if not self._keep_instruction():
            self._publish_instruction(json.loads(answer.message)["instruction"])

    def _on_task(self, message: String) -> None:
        self._task = json.loads(message.data)

    def _call(self, client, request):
        if not client.wait_for_service(TIMEOUT_S):
            raise SceneResetError(f"scene not reset: no service {client.srv_name}")
        done, future = threading.Event(), client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(TIMEOUT_S):
            raise SceneResetError(
                f"scene not reset: no response from {client.srv_name} within {TIMEOUT_S:g} s"
            )
        return future.result()
