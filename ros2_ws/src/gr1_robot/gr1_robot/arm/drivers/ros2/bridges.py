"""The motion process's side of its two ROS bridges: starts them, sends commands, keeps what they say.

ROS-free.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.drivers.ros2 import bridge_link as link

ROLES = ("bridge", "watchdog")
PROGRAM = (sys.executable, "-m", "gr1_robot.arm.ros2_bridge")
_START_S, _CALL_S, _END_S = 20.0, 3.0, 2.0
_RETRY_S = 0.5


@dataclass
class Heard:
    """The newest of what the bridges have told; None: nothing yet. Times are s on the steady clock.

    graphs: of each of the two bridges.
    """

    state: dict | None = None
    wrench: dict | None = None
    graphs: dict[str, dict] = field(default_factory=dict)
    urdf_file: str = ""

    @property
    def graph(self) -> dict:
        """What the bridge sees of the ROS graph; empty: nothing yet."""
        return self.graphs.get("bridge", {})

    @property
    def heard_by_controller(self) -> bool:
        """Whether both bridges reach the controller: none may command before the other one can end it."""
        return all(self.graphs.get(role, {}).get("listeners", 0) for role in ROLES)


class Bridges:
    """Two processes, see gr1_robot.arm.ros2_bridge. settings: `settings.for_bridge`."""

    def __init__(self, settings: dict):
        self._settings, self.heard = settings, Heard()
        self._changed, self._closing = threading.Condition(), False
        self._links: dict[str, link.BridgeLink] = {}
        self._processes: dict[str, subprocess.Popen] = {}
        self._numbers = itertools.count()
        self._asked: dict[int, Callable[[str], None]] = {}
        self._joints = 6
        self.lost = ""
        """What is wrong with the bridges; "": both run."""

    def start(self, joints: int) -> None:
        """joints: numbers in a command. Raises ArmError."""
        self._joints = joints
        for role in ROLES:
            self._start(role)

    def set_joints(self, joints: int) -> None:
        """Where they were not known at the start."""
        self._joints = joints
        self.rest()

    def send(self, command: dict) -> None:
        """A command; `values` are its twist or joint velocities."""
        content = {"command": command, "sent": time.monotonic()}
        for one in tuple(self._links.values()):  # the watchdog too: it must know whether the arm moves
            one.post(link.MOVE, content)

    def rest(self) -> None:
        for one in tuple(self._links.values()):
            one.post(link.REST, self._joints)

    def send_gripper(self, value: float) -> None:
        if one := self._links.get("bridge"):
            one.post(link.GRIPPER, value)

    def ask(self, service: str, on_answer: Callable[[str], None] = lambda error: None) -> None:
        """Calls one of the settings' services without waiting. on_answer(error): in another thread, "": done.
        Raises ArmError where it cannot be called.
        """
        number, one = next(self._numbers), self._links.get("bridge")
        self._asked[number] = on_answer
        if one is None or not one.post(link.CALL, {"service": service, "number": number}):
            self._asked.pop(number, None)
            raise ArmError(f"ros2.{service} cannot be called: {self.lost or 'the ROS bridge does not read'}")

    def call(self, service: str) -> None:
        """Calls one of the settings' services and waits for its answer. Raises ArmError."""
        answers: list[str] = []
        self.ask(service, answers.append)
        if not self.wait_for(lambda: answers, _CALL_S):
            raise ArmError(
                f"ros2.{service}: {self._settings[service]} has not answered within {_CALL_S:g} s: does its "
                "node run?"
            )
        if error := answers[0]:
            raise ArmError(f"ros2.{service}: {error}")

    def wait_for(self, condition, seconds: float) -> bool:
        """Waits until something that a bridge tells makes the condition true."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def close(self) -> None:
        """Both publish rest and end."""
        self._closing = True
        for one in tuple(self._links.values()):
            one.post(link.END, None)
        for process in self._processes.values():
            _end(process)

    def _start(self, role: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [*PROGRAM, str(theirs.fileno()), role],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        one = link.BridgeLink(ours)
        one.post(link.START, self._settings)
        ready = select.select([one], [], [], _START_S)[0]
        try:
            said = one.receive() if ready else None
        except EOFError:
            said = None
        if said is None:
            process.kill()
            process.wait()
            raise ArmError(
                f"the ROS {role} of the arm has not come up within {_START_S:g} s: its output says why"
            )
        self._processes[role], self._links[role] = process, one
        one.post(link.REST, self._joints)
        threading.Thread(target=self._listen, args=(role, one), name=f"ros2 {role}", daemon=True).start()

    def _listen(self, role: str, one: link.BridgeLink) -> None:
        try:
            while True:
                select.select([one], [], [])
                while (message := one.receive()) is not None:
                    self._take(role, *message)
        except EOFError:
            pass
        if not self._closing:
            self._replace(role, one)

    def _take(self, role: str, what: str, content) -> None:
        with self._changed:
            match what:
                case link.STATE:
                    self.heard.state = content
                case link.WRENCH:
                    self.heard.wrench = content
                case link.GRAPH:
                    self.heard.graphs[role] = content
                case link.URDF:
                    self.heard.urdf_file = content
                case link.ANSWER:
                    self._asked.pop(content["number"], lambda error: None)(content["error"])
            self._changed.notify_all()

    def _replace(self, role: str, gone: link.BridgeLink) -> None:
        """A bridge has ended: the other one brings the arm to rest, and a new one is started."""
        self.lost = f"the ROS {role} of the arm (a process of its own) has ended: starting it again"
        self._links.pop(role, None)
        self.rest()
        self.heard.graphs.pop(role, None)
        gone.close()
        if role == "bridge":
            self._asked.clear()  # nobody answers any more
        _end(self._processes.pop(role))
        while not self._closing:
            try:
                self._start(role)
            except ArmError as error:
                self.lost = str(error)
                time.sleep(_RETRY_S)
                continue
            self.lost = ""
            return


def _end(process: subprocess.Popen) -> None:
    """Waits for its end; kills it where it hangs."""
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def remove(path: str) -> None:
    """The file in which a bridge has left the URDF."""
    with contextlib.suppress(OSError):
        os.unlink(path)
