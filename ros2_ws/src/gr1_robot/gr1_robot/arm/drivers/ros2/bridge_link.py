"""The messages between the motion process and its ROS bridges: JSON over SOCK_SEQPACKET pairs. ROS-free.

As on the arm node's own link neither side waits: what does not fit into the socket is dropped. Each message
is a dictionary with one key that says what it is.
"""

from __future__ import annotations

import json
import socket

LARGEST = 1 << 17
SILENCE_S = 0.1
"""s without a message after which a bridge lets a moving arm rest: the motion process sends 100 a second."""

# To a bridge: settings; a command with the time of its sending (s, steady clock); rest; a service; the end.
START, MOVE, REST, GRIPPER, CALL, END = "start", "move", "rest", "gripper", "call", "end"
# From a bridge: its node is up; joint_states; wrench; the URDF in a file; who listens; a call's result.
READY, STATE, WRENCH, URDF, GRAPH, ANSWER = "ready", "state", "wrench", "urdf", "graph", "answer"


class BridgeLink:
    """One end of a pair."""

    def __init__(self, connection: socket.socket):
        connection.setblocking(False)
        self._connection = connection

    def fileno(self) -> int:
        return self._connection.fileno()

    def post(self, kind: str, content) -> bool:
        """False where it was dropped: the socket is full, or the other side has gone."""
        try:
            self._connection.send(json.dumps({kind: content}).encode())
            return True
        except OSError:
            return False

    def receive(self) -> tuple[str, object] | None:
        """(what, content) of the next message; None where there is none yet. Raises EOFError."""
        try:
            data = self._connection.recv(LARGEST)
        except BlockingIOError:
            return None
        except OSError as error:
            raise EOFError(str(error)) from error
        if not data:
            raise EOFError
        [message] = json.loads(data).items()
        return message

    def close(self) -> None:
        self._connection.close()
