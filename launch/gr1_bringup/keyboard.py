"""Lines typed on a terminal while a live table is drawn on it. ROS-free."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import tty

LONGEST = 200
_ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|.)?")  # arrows and other keys that are no characters


class Keyboard:
    """A context manager. `lines()` never waits. `typed` is the line so far, to be drawn.

    A terminal is read key by key without echo, so that echo does not disturb the table; Ctrl-C stays a
    signal. Another stdin (a pipe, a file) is read line by line. A run in the background has no keyboard.
    """

    def __init__(self, stream=None):
        self._stream = sys.stdin if stream is None else stream
        self.typed, self._bytes = "", b""
        self._before, self._file = None, None

    def __enter__(self) -> Keyboard:
        try:
            file = self._stream.fileno()
        except (AttributeError, OSError, ValueError):
            return self  # closed, or not a file
        if not os.isatty(file):
            self._file = file
        elif (
            os.tcgetpgrp(file) == os.getpgrp()
        ):  # to touch a terminal from the background would stop the process
            self._file, self._before = file, termios.tcgetattr(file)
            tty.setcbreak(file)
        return self

    def __exit__(self, *_) -> None:
        if self._before is not None:
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)
        self._file = self._before = None

    def lines(self) -> list[str]:
        """The lines completed since the last call, without their ends."""
        while self._file is not None and select.select([self._file], [], [], 0)[0]:
            data = os.read(self._file, 4096)
            if not data:
                self._file = self._file if self._before is not None else None  # the end of a pipe
                break
            self._bytes += data
        *whole, self._bytes = self._bytes.replace(b"\r", b"\n").split(b"\n")
        self.typed = _edited(self._bytes)
        return [_edited(line) for line in whole]


def _edited(line: bytes) -> str:
    """The line after its backspaces and Ctrl-U, which clears it; other control characters are dropped."""
    kept: list[str] = []
    for one in _ESCAPE.sub("", line.decode(errors="ignore")):
        if one in "\x7f\b":
            del kept[-1:]
        elif one == "\x15":
            kept.clear()
        elif one.isprintable():
            kept.append(one)
    return "".join(kept)[:LONGEST]
