"""The messages between the arm node and its motion process, over one SOCK_SEQPACKET pair. ROS-free.

Neither side ever waits for the other: what does not fit into the socket is dropped. Commands carry the time
at which they were sent, so that a late one is refused by the gate and not carried out late.
"""

from __future__ import annotations

import pickle
import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gr1_core.rig import Rig
from gr1_robot.arm.controller import Snapshot
from gr1_robot.arm.simulated_scene import SimulationSample

_LARGEST = 1 << 18

# From the node


@dataclass(frozen=True)
class Start:
    """The first message. settings: the driver's options by name. armed: False: stopped until a reset.

    realtime: whether to request real-time scheduling. stop_file: path of the stop socket. state_hz: rate of
    the simulator's state. drivers: folders in which drivers are looked for.
    """

    robot: str
    rig: Rig
    settings: Mapping[str, object]
    armed: bool
    realtime: bool
    stop_file: str
    state_hz: float
    drivers: Sequence[str]


class TwistCommand(NamedTuple):
    """See ArmController.submit_command."""

    source: str
    linear: np.ndarray
    angular: np.ndarray
    sent: float
    stamp: int
    frame: str


class GripperCommand(NamedTuple):
    """See ArmController.submit_gripper."""

    source: str
    closure: float
    sent: float


class Release(NamedTuple):
    """See ArmController.release."""

    sent: float


class Call(NamedTuple):
    """A method of the motion process by its name; it is answered by a Reply with this number."""

    number: int
    name: str
    arguments: tuple


# From the motion process


class Ready(NamedTuple):
    """The arm is connected, the loop runs. notice: what the user should know about the start, or "".

    urdf: of `ArmBackend.urdf`.
    """

    joint_names: Sequence[str]
    scheduling: str
    notice: str
    urdf: str


class Failed(NamedTuple):
    """The start failed for a reason that the user can fix."""

    error: str


class Tick(NamedTuple):
    """One tick. at: s on the steady clock. counts: the gate's counters, where they are due, else None."""

    at: float
    snapshot: Snapshot
    counts: Mapping[str, int] | None
    sample: SimulationSample | None


class LoopReport(NamedTuple):
    """Figures of the loop (docs/reference/interfaces.md, `arm: loop`) and of the driver."""

    loop: Mapping[str, object]
    driver: Mapping[str, object]


class Refusal(NamedTuple):
    """A command was refused. what: "twist" or "gripper command"."""

    source: str
    what: str
    reason: str


class Reply(NamedTuple):
    """result: what the method returned. error: the text of its ArmError, else None."""

    number: int
    result: object
    error: str | None


class Ended(NamedTuple):
    """The last message. failure: the traceback of the loop's or the process's exception. trouble: what went
    wrong with the driver while it was closed. Both "": all went well.
    """

    failure: str
    trouble: str


class Link:
    """One end of the pair. `post` may be called from any thread, `receive` from one."""

    def __init__(self, connection: socket.socket):
        connection.setblocking(False)
        self._connection = connection
        self._buffer = memoryview(bytearray(_LARGEST))

    def fileno(self) -> int:
        return self._connection.fileno()

    def post(self, message) -> bool:
        """Sends without waiting; False where it was dropped: the socket is full, or the other side has
        gone.
        """
        try:
            self._connection.send(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
            return True
        except OSError:
            return False

    def post_surely(self, message, timeout: float) -> bool:
        """As `post`, but waits up to `timeout` s for room. Not for the loop's thread."""
        until = time.monotonic() + timeout
        while not (sent := self.post(message)) and (left := until - time.monotonic()) > 0:
            select.select([], [self], [], min(left, 0.05))
            time.sleep(0.001)
        return sent

    def receive(self):
        """The next message; None where there is none yet. Raises EOFError when the other side has gone."""
        try:
            size = self._connection.recv_into(self._buffer)
        except BlockingIOError:
            return None
        except OSError as error:
            raise EOFError(str(error)) from error
        if not size:
            raise EOFError
        return pickle.loads(self._buffer[:size])

    def await_message(self, timeout: float | None = None):
        """The next message, waited for; None after `timeout` s. Raises EOFError."""
        return self.receive() if select.select([self], [], [], timeout)[0] else None

    def close(self) -> None:
        self._connection.close()
