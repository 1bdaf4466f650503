"""The watchdog process: stops the arm when the arm node cannot. ROS-free, and without numpy: it starts fast
and does nothing else.

A Gen3 executes a twist until it is told to stop (TwistCommand.duration is not implemented). So the arm node
starts this process, which has its own session and reads a pipe. It calls Stop when the pipe closes without a
farewell (the node died) or when no heartbeat arrives for `limit_ms` while the arm moves (the node is frozen
or hangs).

Standard input: one line of JSON (Login and limit_ms), then bytes. Standard output: bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time

from gr1_robot.arm.drivers.kinova_gen3.session import KortexError, Login, Session

MOVING, RESTING, FAREWELL = b"m", b"r", b"q"
"""To the watchdog: heartbeat while the arm moves; heartbeat at rest, which also ends an intervention; the arm
is stopped, end.
"""
READY, LOST, ECHO, STOPPED = b"g", b"x", b"e", b"t"
"""From the watchdog: connected to the arm; not connected, or cannot stop the arm; heartbeat received; it has
stopped the arm.
"""

_CHECK_PERIOD_S = 0.5
_CHECK_MS, _CHECK_MOVING_MS, _STOP_MS = 500, 50, 80
_RETRY_PAUSES_S = (0.02, 0.1, 0.5)
_GIVE_UP_S = 30.0
_REALTIME_PRIORITY = 20


class Watchdog:
    """Runs until the pipe closes or says farewell. limit: s without a heartbeat while the arm moves."""

    def __init__(self, login: Login, limit: float, pipe: int):
        self._login, self._limit, self._pipe = login, limit, pipe
        self._session: Session | None = None
        self._was_connected = self._moving = self._tripped = False
        self._heartbeat_at = self._checked_at = time.monotonic()

    def run(self) -> None:
        try:
            self._connect()
            while self._poll():
                pass
        except EOFError:
            if self._was_connected:
                self._stop_arm("the arm node ended without stopping the arm")
        finally:
            self._disconnect()

    def _poll(self) -> bool:
        """One wait and its consequences. False after a farewell; raises EOFError when the pipe closes."""
        armed = self._moving and not self._tripped
        beats = self._read_pipe(
            self._heartbeat_at + self._limit - time.monotonic() if armed else _CHECK_PERIOD_S
        )
        if FAREWELL in beats:
            return False
        if beats:
            self._on_heartbeat(beats)
        elif armed:
            self._intervene(
                f"no heartbeat from the arm node for {1e3 * self._limit:.0f} ms while the arm moved"
            )
        if time.monotonic() - self._checked_at > _CHECK_PERIOD_S:
            self._check_session()
        return True

    def _on_heartbeat(self, beats: bytes) -> None:
        self._heartbeat_at, self._moving = time.monotonic(), beats.endswith(MOVING)
        if not self._moving:
            self._tripped = False
        elif self._tripped:
            # A node that was frozen resumes where it was: its commands are from before.
            self._intervene("the arm node resumed after it was frozen")
        else:
            _send(ECHO)

    def _intervene(self, why: str) -> None:
        """Stops the arm and reports it; where that fails, reports it and keeps trying. Raises EOFError if the
        arm node ends meanwhile.
        """
        self._tripped = True
        while not self._stop_arm(why):
            _send(LOST)
            if FAREWELL in self._read_pipe(0.0):
                raise SystemExit(0)
        _send(STOPPED)

    def _read_pipe(self, wait: float) -> bytes:
        """What arrives within `wait` s; b"" for nothing. Raises EOFError."""
        if not select.select([self._pipe], [], [], max(wait, 0.0))[0]:
            return b""
        beats = os.read(self._pipe, 4096)
        if not beats:
            raise EOFError
        return beats

    def _check_session(self) -> None:
        """Keeps the session alive and notices its loss."""
        try:
            self._session.call(
                self._session.base.GetArmState, timeout_ms=_CHECK_MOVING_MS if self._moving else _CHECK_MS
            )
            self._checked_at = time.monotonic()
        except KortexError:
            _send(LOST)
            self._disconnect()
            self._connect()

    def _connect(self) -> None:
        """Tries until it has a session. Raises EOFError if the arm node ends meanwhile."""
        for pause in _retry_pauses():
            try:
                self._session = Session(self._login)
            except KortexError as error:
                _report(str(error))
                if FAREWELL in self._read_pipe(pause):
                    raise SystemExit(0) from error
                continue
            self._was_connected, self._moving, self._checked_at = True, False, time.monotonic()
            return _send(READY)

    def _stop_arm(self, why: str) -> bool:
        """Stops the arm on this session or on a new one, trying for `_GIVE_UP_S`. Returns whether it did."""
        began = time.monotonic()
        for pause in _retry_pauses():
            try:
                self._session = self._session or Session(self._login)
                self._session.call(self._session.base.Stop, timeout_ms=_STOP_MS)
                _report(f"stopped the arm within {1e3 * (time.monotonic() - began):.0f} ms: {why}")
                return True
            except KortexError as error:
                _report(f"{why}; cannot stop the arm: {error}")
                self._disconnect()
            if time.monotonic() - began > _GIVE_UP_S:
                _report(f"could not stop the arm for {_GIVE_UP_S:.0f} s: use the arm's own emergency stop")
                return False
            time.sleep(pause)

    def _disconnect(self) -> None:
        if self._session:
            self._session.close()
            self._session = None


def _retry_pauses():
    """Seconds before the next attempt, without end."""
    yield from _RETRY_PAUSES_S
    while True:
        yield _RETRY_PAUSES_S[-1]


def _send(byte: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), byte)


def _report(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"watchdog: {text}\n".encode())


def main() -> int:
    # A signal that ends the arm node (Ctrl-C in a terminal, a service manager's SIGTERM to all) must not end
    # its watchdog first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_REALTIME_PRIORITY))
    pipe, line = sys.stdin.fileno(), b""
    while not line.endswith(b"\n"):
        byte = os.read(pipe, 1)
        if not byte:
            return 1
        line += byte
    settings = json.loads(line)
    limit = settings.pop("limit_ms") / 1e3
    Watchdog(Login(**settings), limit, pipe).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
