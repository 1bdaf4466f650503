"""The motion process's side of the stop socket (gr1_common.stop_socket). ROS-free."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path

from gr1_common.stop_socket import AT_REST, EMERGENCY_STOP, LATCHED, SHUTTING_DOWN
from gr1_robot.arm.controller import ArmController

_REST_S = 5.0


class StopServer:
    """Listens from its construction on. `accept` is called when it is readable. Raises OSError."""

    def __init__(self, file: str, controller: ArmController):
        self._path, self._controller = Path(file), controller
        # The run lock is held: what is there is of a process that was killed.
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(file)
        os.chmod(file, 0o600)
        self._listener.listen(8)
        self._listener.setblocking(False)

    def fileno(self) -> int:
        return self._listener.fileno()

    def accept(self) -> None:
        """Each caller in a thread of its own: one that sends nothing delays nobody."""
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), name="stop", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_REST_S)
            reason = connection.recv(64).decode(errors="replace")
            if not reason:
                return
            # Whatever was asked for in other words is meant as a stop.
            self._controller.stop(reason if reason == SHUTTING_DOWN else EMERGENCY_STOP)
            connection.send(LATCHED.encode())
            if self._controller.at_rest.wait(_REST_S):
                connection.send(AT_REST.encode())

    def close(self) -> None:
        self._listener.close()
        self._path.unlink(missing_ok=True)
