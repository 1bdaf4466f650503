"""The guardian: stops the arm when the arm node no longer can.

A Gen3 carries out a twist until it is told to stop (TwistCommand.duration is not implemented). So the arm node starts this process, which
has a session of its own and listens on a pipe. It calls Stop when the pipe ends without a farewell (the node died) or no heartbeat comes
for `limit_ms` while the arm moves (the node is frozen or hangs). No ROS, no numpy: it starts fast and does nothing else.

On its standard input: one line of JSON (Login and limit_ms), then bytes. On its standard output: bytes.
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
"""To the guardian: a heartbeat while the arm moves; one while it rests, which also ends an intervention; I have stopped the arm, go."""
READY, LOST, ECHO, STOPPED = b"g", b"x", b"e", b"t"
"""From the guardian: connected to the arm; no longer, or it cannot be stopped; a moving heartbeat was heard; I have stopped the arm."""

_CHECK_EVERY = 0.5
_CHECK_MS, _CHECK_MOVING_MS, _STOP_MS = 500, 50, 80
_PAUSES = (0.02, 0.1, 0.5)
_GIVE_UP = 30.0
_PRIORITY = 20


class Guardian:
    """Listens until the pipe ends or says farewell. limit: s without a heartbeat while the arm moves."""

    def __init__(self, login: Login, limit: float, pipe: int):
        self._login, self._limit, self._pipe = login, limit, pipe
        self._session: Session | None = None
        self._needed = self._moving = self._tripped = False
        self._heard = self._checked = time.monotonic()

    def run(self) -> None:
        try:
            self._connect()
            while self._listen():
                pass
        except EOFError:
            if self._needed:
                self._stop("the arm node ended without stopping the arm")
        finally:
            self._hang_up()

    def _listen(self) -> bool:
        """One wait and what follows from it. False after a farewell; raises EOFError when the pipe ends."""
        on_guard = self._moving and not self._tripped
        beats = self._read(self._heard + self._limit - time.monotonic() if on_guard else _CHECK_EVERY)
        if FAREWELL in beats:
            return False
        if beats:
            self._hear(beats)
        elif on_guard:
            self._intervene(
                f"no heartbeat from the arm node for {1e3 * self._limit:.0f} ms while the arm moved"
            )
        if time.monotonic() - self._checked > _CHECK_EVERY:
            self._check()
        return True

    def _hear(self, beats: bytes) -> None:
        self._heard, self._moving = time.monotonic(), beats.endswith(MOVING)
        if not self._moving:
            self._tripped = False
        elif self._tripped:
            # A node that was frozen goes on where it was: what it commands now is from before.
            self._intervene("the arm node, frozen until now, went on")
        else:
            _say(ECHO)

    def _intervene(self, why: str) -> None:
        """Stops the arm and says so; where it cannot, it says that and goes on trying. Raises EOFError when the arm node ends meanwhile."""
        self._tripped = True
        while not self._stop(why):
            _say(LOST)
            if FAREWELL in self._read(0.0):
                raise SystemExit(0)
        _say(STOPPED)

    def _read(self, wait: float) -> bytes:
        """What comes within `wait` s, b"" if nothing does. Raises EOFError."""
        if not select.select([self._pipe], [], [], max(wait, 0.0))[0]:
            return b""
        beats = os.read(self._pipe, 4096)
        if not beats:
            raise EOFError
        return beats

    def _check(self) -> None:
        """Keeps the session alive, and knows whether it is."""
        try:
            self._session.call(
                self._session.base.GetArmState, timeout_ms=_CHECK_MOVING_MS if self._moving else _CHECK_MS
            )
            self._checked = time.monotonic()
        except KortexError:
            _say(LOST)
            self._hang_up()
            self._connect()

    def _connect(self) -> None:
        """Tries until it has a session. Raises EOFError when the arm node ends meanwhile."""
        for pause in _pauses():
            try:
                self._session = Session(self._login)
            except KortexError as error:
                _report(str(error))
                if FAREWELL in self._read(pause):
                    raise SystemExit(0) from error
                continue
            self._needed, self._moving, self._checked = True, False, time.monotonic()
            return _say(READY)

    def _stop(self, why: str) -> bool:
        """Stops the arm on this session or on another, trying for `_GIVE_UP` s; whether it did."""
        began = time.monotonic()
        for pause in _pauses():
            try:
                self._session = self._session or Session(self._login)
                self._session.call(self._session.base.Stop, timeout_ms=_STOP_MS)
                _report(f"stopped the arm within {1e3 * (time.monotonic() - began):.0f} ms: {why}")
                return True
            except KortexError as error:
                _report(f"{why}; cannot stop the arm: {error}")
                self._hang_up()
            if time.monotonic() - began > _GIVE_UP:
                _report(f"could not stop the arm for {_GIVE_UP:.0f} s: use the arm's own emergency stop")
                return False
            time.sleep(pause)

    def _hang_up(self) -> None:
        if self._session:
            self._session.close()
            self._session = None


def _pauses():
    """Seconds to wait before the next attempt, without end."""
    yield from _PAUSES
    while True:
        yield _PAUSES[-1]


def _say(byte: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), byte)


def _report(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"guardian: {text}\n".encode())


def main() -> int:
    # Whatever ends the arm node (Ctrl-C in a terminal, a service manager's SIGTERM to all) must not end its guardian first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    pipe, line = sys.stdin.fileno(), b""
    while not line.endswith(b"\n"):
        byte = os.read(pipe, 1)
        if not byte:
            return 1
        line += byte
    settings = json.loads(line)
    limit = settings.pop("limit_ms") / 1e3
    Guardian(Login(**settings), limit, pipe).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
