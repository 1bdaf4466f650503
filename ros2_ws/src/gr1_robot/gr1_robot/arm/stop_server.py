"""The motion process's side of the stop socket (gr1_common.stop_socket). ROS-free."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

from gr1_common.stop_socket import AT_REST, EMERGENCY_STOP, LATCHED, SHUTTING_DOWN
from gr1_robot.arm.controller import ArmController

_REST_S, _RETRY_S = 5.0, 0.01


class StopServer:
    """Serves from its construction until `close`, in threads of its own: a stop waits for nothing else that
    the process does. Raises OSError.
    """

    def __init__(self, file: str, controller: ArmController):
        self._path, self._controller = Path(file), controller
        # The run lock is held: what is there is of a process that was killed.
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(file)
        os.chmod(file, 0o600)
        self._listener.listen(8)
        self._closing = False
        threading.Thread(target=self._accept, name="stop socket", daemon=True).start()

    def _accept(self) -> None:
        """Each caller in a thread of its own: one that sends nothing delays nobody."""
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                time.sleep(_RETRY_S)  # no more files for the moment, or the end
                continue
            try:
                threading.Thread(target=self._serve, args=(connection,), name="stop", daemon=True).start()
            except RuntimeError:  # no more threads
                self._serve(connection)

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
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._listener.close()
        self._path.unlink(missing_ok=True)
