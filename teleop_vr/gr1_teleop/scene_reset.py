"""The simulated rig only: a new table after each episode, as a person would lay one, and its words."""

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

ANSWER_S = 10.0


class TableError(RuntimeError):
    """No new table could be laid; the text says why."""


class Tables:
    """`next` blocks until the executor has brought the answers: call it from another thread. say(text): tells the stack the instruction."""

    def __init__(self, node: Node, say: Callable[[str], None]):
        self._say, self._told = say, {}
        node.create_subscription(String, "sim/task", self._on_task, LATCHED)
        self._set = node.create_client(SetParameters, "arm/set_parameters")
        self._reset = node.create_client(Trigger, "sim/reset")

    def next(self) -> None:
        """The same task on the table of the next seed. Raises TableError."""
        if "seed" not in self._told:
            raise TableError(
                "no new table: nothing has been heard on sim/task; is the simulated arm running?"
            )
        seed = Parameter("sim.seed", value=int(self._told["seed"]) + 1).to_parameter_msg()
        answer = self._call(self._set, SetParameters.Request(parameters=[seed]))
        if refused := [result.reason for result in answer.results if not result.successful]:
            raise TableError(f"no new table: {refused[0]}")
        answer = self._call(self._reset, Trigger.Request())
        if not answer.success:
            raise TableError(f"no new table: {answer.message}")
        self._say(json.loads(answer.message)["instruction"])

    def _on_task(self, message: String) -> None:
        self._told = json.loads(message.data)

    def _call(self, client, request):
        if not client.wait_for_service(ANSWER_S):
            raise TableError(f"no new table: nobody offers {client.srv_name}")
        done, future = threading.Event(), client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(ANSWER_S):
            raise TableError(f"no new table: no answer from {client.srv_name} within {ANSWER_S:g} s")
        return future.result()
