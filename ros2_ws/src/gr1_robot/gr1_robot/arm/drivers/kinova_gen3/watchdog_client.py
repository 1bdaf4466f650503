"""The arm node's side of the watchdog process: starts it, sends heartbeats, reads its answers. ROS-free."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import subprocess
import sys
import time

from gr1_robot.arm.drivers.kinova_gen3 import watchdog
from gr1_robot.arm.drivers.kinova_gen3.session import KortexError, Login

_START_S = 10.0
_LEAVE_S = 2.0
# A watchdog that has not answered a heartbeat for this long would not act either.
_SILENT_S = 0.3


class WatchdogClient:
    """One watchdog process. Raises KortexError if it does not start. limit_ms: its heartbeat timeout while
    the arm moves.

    tripped: the watchdog has stopped the arm.
    """

    def __init__(self, login: Login, limit_ms: int):
        # A process session of its own: signals to the arm node's process group are not meant for it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", watchdog.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._out = self._process.stdout.fileno()
        self._send(json.dumps({**dataclasses.asdict(login), "limit_ms": limit_ms}).encode() + b"\n")
        os.set_blocking(self._process.stdin.fileno(), False)
        self._connected = self.tripped = False
        self._echo_at: float | None = None
        deadline = time.monotonic() + _START_S
        while not self._connected:
            if (
                not select.select([self._out], [], [], max(deadline - time.monotonic(), 0.0))[0]
                or self.trouble()
            ):
                self.leave()
                raise KortexError(
                    f"the watchdog process was not ready within {_START_S:.0f} s: its reasons are on "
                    "standard error"
                )

    @property
    def pid(self) -> int:
        return self._process.pid

    def beat(self, moving: bool) -> None:
        """A heartbeat: before a twist is sent and at least once per limit."""
        if not moving:
            self._echo_at, self.tripped = None, False
        elif self._echo_at is None:
            self._echo_at = time.monotonic()
        self._send(watchdog.MOVING if moving else watchdog.RESTING)

    def trouble(self) -> str:
        """Reads the watchdog's answers. Returns why nothing may move; "" if it is ready. Sets `tripped` if it
        stopped the arm.
        """
        while select.select([self._out], [], [], 0.0)[0]:
            answers = os.read(self._out, 4096)
            if not answers:
                return "the watchdog process has ended"
            if watchdog.ECHO in answers:
                self._echo_at = time.monotonic()
            self.tripped = self.tripped or watchdog.STOPPED in answers
            states = [byte for byte in answers if byte in watchdog.READY + watchdog.LOST]
            if states:
                self._connected = states[-1:] == list(watchdog.READY)
        if not self.tripped and self._echo_at is not None and time.monotonic() - self._echo_at > _SILENT_S:
            return f"the watchdog process has not answered for {1e3 * _SILENT_S:.0f} ms"
        return "" if self._connected else "the watchdog process has no connection to the arm"

    def leave(self) -> None:
        """Farewell: the arm has been stopped, the watchdog ends."""
        self._send(watchdog.FAREWELL)
        self.drop()
        try:
            self._process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def drop(self) -> None:
        """Closes the pipe without a farewell: the watchdog stops the arm, for as long as that takes, and
        ends.
        """
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _send(self, data: bytes) -> None:
        # A watchdog that has ended or does not read shows in `trouble`.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(data)
