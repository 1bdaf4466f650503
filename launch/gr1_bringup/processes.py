"""Starts, watches and ends the stack's nodes as plain processes, without `ros2 launch`."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gr1_bringup import stack
from gr1_bringup.arguments import SettingError
from gr1_bringup.parameter_file import parameter_file
from gr1_common.shell import callers_environment

TAIL = 15
_LOGGED = re.compile(r"\[(DEBUG|INFO|WARN)\]")
_PR_SET_PDEATHSIG = 1
_BOOTSTRAPPED = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
APT_ROS = Path("/opt/ros/jazzy")
"""Where apt installs ROS 2."""
HOLD = "GR1_HOLD"
"""Environment variable of gr1_common.process, which this module does not import: it would import rclpy."""
# An arm node whose driver hangs needs 7 s to release it (ArmNode.close).
_LADDER = ((signal.SIGINT, 8.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))


class Process:
    """One node as a process group, its output in `log`.

    echo(line): gets the lines with ERROR or FATAL, and of a node that prints aloud all lines that are not
    log lines. held: it imports its modules and enters the ROS graph when `release` is called.
    """

    def __init__(
        self,
        node: stack.Node,
        command: list[str],
        log: Path,
        environment: Mapping[str, str],
        echo: Callable[[str], None],
        held: bool = False,
    ):
        self.name, self.log, self._held = node.name, log, held
        self._tail: collections.deque[str] = collections.deque(maxlen=TAIL)
        self._echo, self._aloud = echo, node.aloud
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if held else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_inherited(environment, node) | ({HOLD: "1"} if held else {}),
            start_new_session=True,
            preexec_fn=_before,
            text=True,
            errors="replace",
        )
        self._pump = threading.Thread(target=self._copy, name=f"log of {self.name}", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; below zero: the number of the signal that ended it."""
        return self._popen.poll()

    def how_it_ended(self) -> str:
        code = self.exit_code
        if code is not None and code < 0:
            return f"{self.name} was killed by {signal.Signals(-code).name}"
        return f"{self.name} ended with exit code {code}"

    def last_lines(self) -> list[str]:
        """The end of the log, without the lines that `echo` got."""
        self._pump.join(timeout=1.0)
        return list(self._tail)

    @property
    def held(self) -> bool:
        """Whether it waits for `release`."""
        return self._held

    def release(self) -> None:
        """Lets a held process go on; one that has ended is found by `exit_code`."""
        if self._held:
            self._held = False
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.write("\n")
                self._popen.stdin.flush()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _copy(self) -> None:
        # What a node prints aloud may be secret: teleoperation's pairing token.
        with open(self.log, "w", buffering=1, opener=_private if self._aloud else None) as log:
            for line in self._popen.stdout:
                log.write(line)
                if "[ERROR]" in line or "[FATAL]" in line:
                    self._echo(f"{self.name}: {line.rstrip()}")
                elif self._aloud and not _LOGGED.search(line):
                    self._echo(line.rstrip("\n"))
                else:
                    self._tail.append(line.rstrip("\n"))


class Processes:
    """All nodes of one run. `folder` gets a log and a parameter file for each, so that a run can be repeated
    by hand.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], echo: Callable[[str], None] = print):
        self.folder, self.all = folder, []
        self._environment, self._echo = dict(environment), echo

    def start(self, nodes: Iterable[stack.Node], namespace: str = "") -> None:
        """Starts the nodes; those that `prepare` has started enter the ROS graph."""
        # A node that was killed may be started again.
        waiting = {process.name: process for process in self.all if process.held}
        for node in nodes:
            if node.name in waiting:
                waiting[node.name].release()
            else:
                self._launch(node, namespace, held=False)

    def prepare(self, nodes: Iterable[stack.Node], namespace: str = "") -> None:
        """Starts the processes of this project's nodes, which import their modules and wait for `start`."""
        for node in nodes:
            if node.package.startswith("gr1_"):
                self._launch(node, namespace, held=True)

    def _launch(self, node: stack.Node, namespace: str, held: bool) -> None:
        log = self.folder / f"{node.name}.log"
        command = self._command(node, namespace)
        self.all.append(Process(node, command, log, self._environment, self._echo, held))

    def dead(self) -> Process | None:
        """The first process that has ended by itself."""
        return next((process for process in self.all if process.exit_code is not None), None)

    def stop(self) -> list[Process]:
        """SIGINT, then SIGTERM, then SIGKILL to those left; returns the processes that needed more than a
        SIGINT.
        """
        stubborn: list[Process] = []
        for number, patience in _LADDER:
            running = [process for process in self.all if process.exit_code is None]
            if number != signal.SIGINT:
                stubborn += [process for process in running if process not in stubborn]
            for process in running:
                process.signal(number)
            until = time.monotonic() + patience
            while time.monotonic() < until and any(process.exit_code is None for process in running):
                time.sleep(0.02)
        return stubborn

    def _command(self, node: stack.Node, namespace: str) -> list[str]:
        ros = ["--ros-args", "-r", f"__node:={node.name}"]
        if namespace:
            ros += ["-r", f"__ns:=/{namespace.strip('/')}"]
        if node.config:
            ros += ["--params-file", str(stack.share() / "config" / node.config)]
        if node.parameters:
            # A file, since `-p name:=value` reads "1" and "" as other types than string.
            file = self.folder / f"{node.name}.yaml"
            # Only for this user: it may hold the arm's password.
            file.unlink(missing_ok=True)
            with open(file, "w", encoding="utf-8", opener=_private) as stream:
                stream.write(parameter_file(node.parameters))
            ros += ["--params-file", str(file)]
        return [*program(node), *node.arguments, *ros]


def environment(folder: Path) -> dict[str, str]:
    """The nodes' environment: the caller's own, with the stack's defaults for variables that are not set."""
    wanted = {
        "ROS_LOG_DIR": str(folder / "ros_log"),
        "PYTHONUNBUFFERED": "1",
        **stack.environment(),
    }
    return wanted | os.environ


def program(node: stack.Node) -> list[str]:
    """The command that starts this node. Raises SettingError for a program that is not installed."""
    if node.package.startswith("gr1_"):
        if node.python and not shutil.which(node.python):
            raise SettingError(f"{node.name}: no interpreter '{node.python}' ({stack.KINECT_PYTHON})")
        return [node.python or sys.executable, "-m", node.module]
    found = shutil.which(node.executable)
    setup = APT_ROS / "setup.bash"
    if not found and setup.is_file() and (APT_ROS / "lib" / node.package / node.executable).is_file():
        # Not sourced in this shell, whose Python has a ROS of its own.
        run = f'source {setup} && exec ros2 run {node.package} {node.executable} "$@"'
        return ["bash", "-c", run, node.executable]
    if not found:
        raise SettingError(
            f"{node.name}: no program '{node.executable}' on PATH; install {node.package} (apt) or leave "
            "it out"
        )
    return [found]


def _inherited(environment: Mapping[str, str], node: stack.Node) -> dict[str, str]:
    """Another interpreter must find the ROS libraries of its own environment, so the mark of this one is
    removed. A program of another package (rviz2) gets the caller's environment, without this one's libraries.
    """
    if not node.package.startswith("gr1_"):
        return callers_environment(environment) | dict(node.environment)
    return {
        name: value for name, value in environment.items() if not (node.python and name == _BOOTSTRAPPED)
    } | dict(node.environment)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _before() -> None:
    # In the background of a script (`gr1 up &`) SIGINT is inherited as ignored; the nodes need it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # If this runner is killed, no arm may go on moving.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
