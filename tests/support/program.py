"""A command of ours as a process."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.support.waiting import eventually


class Program:
    """`python ...` with its output kept in `said`."""

    def __init__(self, *words):
        self._process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self.said += line

    def until(self, text: str):
        """Waits for a text in the output."""
        eventually(
            lambda: text in self.said or self._process.poll() is not None, f"'{text}' in the output", 90
        )
        assert text in self.said, self.said

    def nodes(self) -> dict[str, int]:
        """The ROS nodes that it has started, by name, and their process ids."""
        found = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                words = (stat.parent / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if parent == self._process.pid:
                found |= {
                    word.removeprefix("__node:="): int(stat.parent.name)
                    for word in words
                    if word.startswith("__node:=")
                }
        return found

    def signal(self, number):
        self._process.send_signal(number)

    def wait(self, seconds: float = 120) -> int:
        """The exit code."""
        code = self._process.wait(seconds)
        self._reader.join()
        return code

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
