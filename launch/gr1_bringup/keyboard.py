"""Lines typed on a terminal while a live table is drawn on it, and its stop key. ROS-free."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable

LONGEST = 200
_ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|.)?")  # arrows and other keys that are no characters


class Keyboard:
    """A context manager. `lines()` never waits. `typed` is the line so far, to be drawn.

    A terminal is read key by key without echo, so that echo does not disturb the table; Ctrl-C and Ctrl-Z
    stay signals. Another stdin (a pipe, a file) is read line by line. A run in the background has no
    keyboard. on_space: called at once, in a thread of its own, for a space at the beginning of a line of a
    terminal; None: a space is a character. typing: whether lines are typed; False: each space counts, and
    other keys mean nothing.
    """

    def __init__(self, stream=None, on_space: Callable[[], None] | None = None, typing: bool = True):
        self._stream = sys.stdin if stream is None else stream
        self.typed, self._bytes = "", b""
        self.on_space, self._typing = on_space, typing
        self._before, self._file = None, None
        self._lock, self._watch, self._wake = threading.Lock(), None, None

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
            if self.on_space:
                self._wake = os.pipe()
                self._watch = threading.Thread(target=self._watch_keys, name="keyboard", daemon=True)
                self._watch.start()
        return self

    def __exit__(self, *_) -> None:
        if self._watch:
            os.write(self._wake[1], b"\0")
            self._watch.join()
            for end in self._wake:
                os.close(end)
            self._watch = None
        self.suspend()
        self._file = self._before = None

    def suspend(self) -> None:
        """The terminal as it was before: for a shell that takes over for a while."""
        if self._before is not None:
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def resume(self) -> None:
        """Reads key by key again after `suspend`."""
        if self._before is not None:
            tty.setcbreak(self._file)

    def lines(self) -> list[str]:
        """The lines completed since the last call, without their ends."""
        with self._lock:
            self._read()
            *whole, self._bytes = self._bytes.replace(b"\r", b"\n").split(b"\n")
            self.typed = _edited(self._bytes)
            return [_edited(line) for line in whole]

    def _read(self) -> bool:
        """Takes what was typed; False at the end of the stream."""
        while self._file is not None and select.select([self._file], [], [], 0)[0]:
            try:
                data = os.read(self._file, 4096)
            except OSError:
                data = b""  # the terminal has been closed
            if not data:
                self._file = self._file if self._before is not None else None  # the end of a pipe
                return False
            for key in (data[index : index + 1] for index in range(len(data))):
                if key == b" " and self._watch and not _edited(re.split(rb"[\r\n]", self._bytes)[-1]):
                    threading.Thread(target=self.on_space, name="stop key", daemon=True).start()
                elif self._typing:
                    self._bytes += key
        return True

    def _watch_keys(self) -> None:
        while self._wake[0] not in select.select([self._file, self._wake[0]], [], [])[0]:
            with self._lock:
                if not self._read():
                    return


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
