"""Stops the arm of one run without ROS: the space bar, Ctrl-Z, the end of the run. ROS-free."""

from __future__ import annotations

from collections.abc import Callable

from gr1_common import stop_socket

KEY_HINT = "space bar: emergency stop"
_RESET = "call arm/reset when it is safe"


class ArmStop:
    """domain, namespace: the run's. say(text, style): a line for the user. Each call may come from any
    thread.
    """

    def __init__(self, domain: str, namespace: str, say: Callable[..., None]):
        self._domain, self._namespace, self._say = domain, namespace, say

    def stop(self) -> None:
        """The emergency stop; says how it went."""
        self._tell("emergency stop", self._send(stop_socket.EMERGENCY_STOP, 1.0))

    def suspend(self) -> None:
        """The emergency stop before this program is suspended; returns when the arm is at rest."""
        self._tell("suspended; `fg` goes on", self._send(stop_socket.EMERGENCY_STOP, 1.0))

    def end(self) -> None:
        """The run ends: the arm comes to rest while everything else is closed. Does not wait."""
        self._send(stop_socket.SHUTTING_DOWN, 0.0)

    def _send(self, reason: str, rest_s: float) -> list[stop_socket.Answer]:
        try:
            file = stop_socket.socket_file("arm", self._namespace, self._domain)
        except OSError as error:
            return [stop_socket.Answer("arm", str(error))]
        return stop_socket.stop([file], reason, rest_s)

    def _tell(self, what: str, answers: list[stop_socket.Answer]) -> None:
        if not answers:
            return self._say(f"{what}: no arm runs yet", "yellow")
        [answer] = answers
        if answer.stopped:
            self._say(f"{what}: the arm is stopped ({answer.state}); {_RESET}", "bold red")
        else:
            self._say(f"{what}: the arm is {answer.state}: USE ITS HARDWARE STOP", "bold red")
