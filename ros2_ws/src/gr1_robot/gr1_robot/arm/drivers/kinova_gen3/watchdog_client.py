"""The arm node's end of the guardian: starts the process, sends heartbeats, hears what it says. No ROS."""

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

_START = 10.0
_GO = 2.0
# A guardian that has not answered a heartbeat for this long would not act either.
_SILENCE = 0.3


class Guard:
    """One guardian. Raises KortexError when it does not come up. limit_ms: how long it waits for a heartbeat while the arm moves."""

    def __init__(self, login: Login, limit_ms: int):
        # A session of its own in the system's sense too: signals to the arm node's process group are not meant for it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", watchdog.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._out = self._process.stdout.fileno()
        self._tell(json.dumps({**dataclasses.asdict(login), "limit_ms": limit_ms}).encode() + b"\n")
        os.set_blocking(self._process.stdin.fileno(), False)
        self._connected = self.tripped = False
        self._heard: float | None = None
        deadline = time.monotonic() + _START
        while not self._connected:
            if (
                not select.select([self._out], [], [], max(deadline - time.monotonic(), 0.0))[0]
                or self.trouble()
            ):
                self.leave()
                raise KortexError(
                    f"the guardian process was not ready within {_START:.0f} s: its reasons are on standard error"
                )

    @property
    def pid(self) -> int:
        return self._process.pid

    def beat(self, moving: bool) -> None:
        """A heartbeat, before a twist is sent and at least as often as the limit says."""
        if not moving:
            self._heard, self.tripped = None, False
        elif self._heard is None:
            self._heard = time.monotonic()
        self._tell(watchdog.MOVING if moving else watchdog.RESTING)

    def trouble(self) -> str:
        """Reads what the guardian has said; returns why nothing may move, "" if it is on guard. Sets `tripped` if it stopped the arm."""
        while select.select([self._out], [], [], 0.0)[0]:
            said = os.read(self._out, 4096)
            if not said:
                return "the guardian process has ended"
            if watchdog.ECHO in said:
                self._heard = time.monotonic()
            self.tripped = self.tripped or watchdog.STOPPED in said
            states = [byte for byte in said if byte in watchdog.READY + watchdog.LOST]
            if states:
                self._connected = states[-1:] == list(watchdog.READY)
        if not self.tripped and self._heard is not None and time.monotonic() - self._heard > _SILENCE:
            return f"the guardian process has not answered for {1e3 * _SILENCE:.0f} ms"
        return "" if self._connected else "the guardian process has no connection to the arm"

    def leave(self) -> None:
        """Farewell: the arm has been stopped."""
        self._tell(watchdog.FAREWELL)
        self.drop()
        try:
            self._process.wait(_GO)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def drop(self) -> None:
        """Lets go without a farewell: it stops the arm, for as long as that takes, and ends."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _tell(self, said: bytes) -> None:
        # A guardian that is gone or takes nothing in shows in `trouble`.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(said)
