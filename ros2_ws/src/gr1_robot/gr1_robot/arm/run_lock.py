"""One motion process for an arm at a time, and whether the one before was ended in order. ROS-free."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from gr1_common.stop_socket import folder
from gr1_robot.arm.backend import ArmError

_WAIT_S = 15.0
_RUNNING = b"running\n"


class RunLock:
    """Held from the start of a motion process to its end; the system releases it when the process is killed.

    Waits for a motion process that is still bringing its arm to rest; raises ArmError if another one goes on.
    was_killed: a holder did not call `end_in_order`, and no person has armed since (`person_has_armed`).
    """

    def __init__(self, stop_file: str):
        folder()
        path = Path(stop_file).with_suffix(".run")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + _WAIT_S
        while not self._locked():
            if time.monotonic() > until:
                os.close(self._file)
                raise ArmError(
                    f"another arm node of this name drives the arm ('{path}' is locked): end it, or start "
                    "this one in another namespace or ROS_DOMAIN_ID"
                )
            time.sleep(0.02)
        self.was_killed = bool(os.pread(self._file, len(_RUNNING), 0))
        os.pwrite(self._file, _RUNNING, 0)

    def _locked(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def person_has_armed(self) -> None:
        """A reset was granted."""
        self.was_killed = False

    def end_in_order(self) -> None:
        """This run was ended as it should: the next one need not be told, unless a person must still arm."""
        if not self.was_killed:
            os.ftruncate(self._file, 0)

    def release(self) -> None:
        """The start has failed: nothing has moved since the last holder."""
        self.end_in_order()
        os.close(self._file)
