"""The stop key, Ctrl-Z and Ctrl-C of `gr1 up`, on a real terminal with the real arm node."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys

import psutil
import pytest

from gr1_common import stop_socket
from tests.support.waiting import eventually

STOPPED = psutil.STATUS_STOPPED


class Terminal:
    """`gr1 up` on a terminal of its own, without cameras' images to draw: its output so far, its keys."""

    def __init__(self, folder):
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.execvp(
                sys.executable,
                [sys.executable, "-m", "gr1_core", "up", "--driver", "teleop", "--port", "0", "--no-video"]
                + ["--no-table", "--out", str(folder / "run")],
            )
        os.set_blocking(self._file, False)
        self.text = ""

    def until(self, words: str, seconds: float = 90.0) -> None:
        def said() -> bool:
            try:
                self.text += os.read(self._file, 65536).decode(errors="replace")
            except BlockingIOError:
                pass
            except OSError:
                return words in self.text
            return words in self.text

        eventually(said, f"'{words}' in the terminal", seconds)

    def press(self, key: bytes) -> None:
        os.write(self._file, key)

    def close(self) -> None:
        try:
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGTERM)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._file)


@pytest.fixture
def terminal(tmp_path):
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


def test_space_and_ctrl_z_bring_the_arm_to_rest_and_ctrl_c_reaches_it_first(terminal, tmp_path):
    terminal.until("all nodes are up")
    terminal.press(b"q ")
    terminal.until("emergency stop: the arm is stopped (at rest)")
    terminal.press(b"\x1a")
    terminal.until("suspended; `fg` goes on: the arm is stopped (at rest)")
    process = psutil.Process(terminal.pid)
    eventually(lambda: process.status() == STOPPED, "a suspended program")
    assert [one for one in process.children() if one.status() != STOPPED], "the nodes go on"
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.press(b"\x03")
    terminal.until("at the end")
    _, status = os.waitpid(terminal.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    log = (tmp_path / "run" / "arm.log").read_text()
    assert re.search("the arm node ends; no motion commanded after 0 ms, the arm at rest after 0 ms", log), (
        log
    )


KEYS = """
import sys, threading
from gr1_bringup.keyboard import Keyboard
stopped = threading.Event()
with Keyboard(on_space=stopped.set, typing={typing}) as keyboard:
    print("ready", flush=True)
    print("STOP" if stopped.wait({seconds}) else keyboard.lines() or keyboard.typed, flush=True)
"""


@pytest.mark.parametrize(
    ("typing", "keys", "said"),
    [
        (False, b"q ", "STOP"),  # nobody reads what is typed: it must not take the stop key away
        (False, b"\x1b[A ", "STOP"),
        (True, b" ", "STOP"),
        (True, b"open it", "open it"),
        (True, b"open it\n ", "STOP"),
    ],
)
def test_the_space_bar_stops_unless_it_is_a_part_of_a_line_that_is_typed(typing, keys, said):
    pid, file = pty.fork()
    if pid == 0:
        code = KEYS.format(typing=typing, seconds=60.0 if said == "STOP" else 0.5)
        os.execv(sys.executable, [sys.executable, "-c", code])
    text = os.read(file, 1024)
    os.write(file, keys)
    with contextlib.suppress(OSError):  # its end
        while piece := os.read(file, 1024):
            text += piece
    os.waitpid(pid, 0)
    os.close(file)
    assert text.split(b"\r\n", 1)[1].strip().decode() == said, text


def test_a_stop_without_an_arm_says_so():
    assert stop_socket.stop([stop_socket.socket_file("nobody")]) == []
    done = subprocess.run(
        [sys.executable, "-m", "gr1_core", "stop"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "no arm node runs on this computer" in done.stderr
