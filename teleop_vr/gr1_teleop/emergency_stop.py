"""The emergency stop behind the pages' button: stop socket, or service for an arm on another computer."""

from __future__ import annotations

import threading

from rclpy.node import Node
from std_srvs.srv import Trigger

from gr1_common import stop_socket

_ANSWER_S = 2.0


class EmergencyStop:
    """Call it from any thread but the executor's."""

    def __init__(self, node: Node):
        self._file = stop_socket.socket_file("arm", node.get_namespace())
        self._service = node.create_client(Trigger, "arm/stop")

    def __call__(self) -> tuple[bool, str]:
        """Whether the arm is stopped, and a text for the person."""
        answers = stop_socket.stop([self._file])
        if answers and answers[0].stopped:
            return True, "the arm is stopped until arm/reset is called"
        return self._call_service()

    def _call_service(self) -> tuple[bool, str]:
        """The arm node runs on another computer, or its motion process does not answer."""
        if not self._service.service_is_ready():
            return False, "NOT stopped, no arm node answers: use the arm's hardware stop"
        done = threading.Event()
        future = self._service.call_async(Trigger.Request())
        future.add_done_callback(lambda _: done.set())
        if not done.wait(_ANSWER_S):
            return False, "NOT stopped, arm/stop does not answer: use the arm's hardware stop"
        return future.result().success, future.result().message
