"""The arm node's side of the motion process: starts it, passes commands on, receives its ticks. ROS-free."""

from __future__ import annotations

import contextlib
import itertools
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping

from gr1_common.mailbox import Mailbox
from gr1_robot.arm import motion_link
from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.motion_link import Link

PROGRAM = (sys.executable, "-m", "gr1_robot.arm.motion_process")
"""The motion process's command; the number of its end of the link is added."""
_ANSWER_S, _DRIVER_ANSWER_S, _SCENE_ANSWER_S = 1.0, 10.0, 60.0
_CLOSE_S = 8.0
"""s that a motion process whose driver hangs needs to release it."""


class MotionClient:
    """A running motion process; call `listen` once, and `close`. Raises ArmError where it does not start.

    tick, counts, report: the newest of each; None, empty and None before the first.
    """

    def __init__(self, start: motion_link.Start):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # A process session of its own: signals to this node's process group are not meant for it.
            self._process = subprocess.Popen(
                [*PROGRAM, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._link = Link(ours)
        self._numbers, self._closing = itertools.count(), False
        self._answers: dict[int, tuple[threading.Event, list]] = {}
        self._gone = False  # the motion process has ended: no answer can come
        self._ended: motion_link.Ended | None = None
        self.tick: motion_link.Tick | None = None
        self.counts: Mapping[str, int] = {}
        self.report: motion_link.LoopReport | None = None
        self._outbox: Mailbox | None = None
        self._reader: threading.Thread | None = None
        try:
            self._link.post_surely(start, _ANSWER_S)
            self.ready = self._await_ready()
        except BaseException:
            self._end()
            raise

    def listen(
        self,
        on_tick: Callable[[motion_link.Tick], None],
        on_tick_failure: Callable[[Exception], None],
        on_refusal: Callable[[motion_link.Refusal], None],
        on_end: Callable[[str], None],
    ) -> None:
        """on_tick(tick) is called in a thread of its own, with the newest tick; on_refusal(refusal) and
        on_end(failure) in another one.

        on_end is called once, when the process has ended by itself; failure: the traceback, or how it ended.
        """
        self._on_refusal, self._on_end = on_refusal, on_end
        self._outbox = Mailbox(on_tick, on_tick_failure, "publisher")
        self._reader = threading.Thread(target=self._read, name="motion", daemon=True)
        self._reader.start()

    def _await_ready(self) -> motion_link.Ready:
        try:
            message = self._link.await_message()
        except EOFError:
            raise ArmError(f"{self._how_it_ended()} before the arm was ready: its output says why") from None
        if isinstance(message, motion_link.Failed):
            raise ArmError(message.error)
        return message

    def post(
        self, command: motion_link.TwistCommand | motion_link.GripperCommand | motion_link.Release
    ) -> None:
        """Passes a command on without waiting; dropped where the motion process does not read."""
        self._link.post(command)

    def stop(self) -> None:
        """The emergency stop. Raises ArmError where it is not confirmed."""
        self._call("stop", _ANSWER_S)

    def reset(self) -> str:
        """Releases a stop. Returns "" or what forbids it. Raises ArmError."""
        return self._call("reset", _ANSWER_S)

    def slow_policy(self, slow: bool) -> None:
        """See Gate.slow_policy. Raises ArmError where it is not confirmed."""
        self._call("slow_policy", _ANSWER_S, slow)

    def go_home(self) -> str:
        """See ArmController.go_home."""
        return self._call("home", _DRIVER_ANSWER_S)

    def clear_faults(self) -> None:
        """See ArmController.clear_faults."""
        self._call("clear_faults", _DRIVER_ANSWER_S)

    def set_option(self, option: str, value) -> None:
        """See ArmController.set_option."""
        self._call("set_option", _DRIVER_ANSWER_S, option, value)

    def describe(self) -> str:
        """What is connected. Raises ArmError."""
        return self._call("describe", _DRIVER_ANSWER_S)

    def describe_scene(self) -> dict:
        """See SimulatedScene.describe."""
        return self._call("describe_scene", _DRIVER_ANSWER_S)

    def reset_scene(self, task: str, seed: int) -> dict:
        """See SimulatedScene.reset."""
        return self._call("reset_scene", _SCENE_ANSWER_S, task, seed)

    def close(self) -> str:
        """Brings the arm to rest and ends the process. Returns "" or what went wrong with the driver."""
        self._closing = True
        self._link.post_surely(motion_link.Call(next(self._numbers), "close", ()), _ANSWER_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)
        if self._reader:
            self._reader.join(_ANSWER_S)
            self._outbox.end()
        if self._process.poll() is None:
            self._end()
            return "the motion process did not end: it was killed"
        self._link.close()
        return self._ended.trouble if self._ended else ""

    def _end(self) -> None:
        self._link.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _call(self, name: str, timeout: float, *arguments):
        number, answer = next(self._numbers), (threading.Event(), [])
        self._answers[number] = answer
        try:
            # Registered before this look, so that an end from now on sets the answer.
            if not self._gone:
                self._link.post_surely(motion_link.Call(number, name, arguments), timeout)
                if not answer[0].wait(timeout):
                    raise ArmError(f"the motion process has not answered for {timeout:g} s")
        finally:
            del self._answers[number]
        if not answer[1]:
            raise ArmError("the motion process has ended")
        [reply] = answer[1]
        if reply.error is not None:
            raise ArmError(reply.error)
        return reply.result

    # The reader's thread

    def _read(self) -> None:
        try:
            while True:
                if (message := self._link.receive()) is None:
                    select.select([self._link], [], [])
                    continue
                self._take(message)
        except (EOFError, OSError):
            self._tell_end(lambda: self._ended.failure if self._ended else self._how_it_ended())
        except Exception:
            # Unseen, the arm would move on behind a node that shows its last state for ever.
            failure = traceback.format_exc()
            self._tell_end(lambda: f"its messages cannot be read: {failure}")

    def _tell_end(self, why: Callable[[], str]) -> None:
        try:
            if not self._closing:
                self._on_end(why())
        finally:
            # Nobody waits for an answer that cannot come any more.
            self._gone = True
            for answered, _ in list(self._answers.values()):
                answered.set()

    def _take(self, message) -> None:
        match message:
            case motion_link.Tick():
                self.tick, self.counts = message, message.counts or self.counts
                self._outbox.post(message)
            case motion_link.LoopReport():
                self.report = message
            case motion_link.Refusal():
                self._on_refusal(message)
            case motion_link.Reply():
                if answer := self._answers.get(message.number):
                    answer[1].append(message)
                    answer[0].set()
            case motion_link.Ended():
                self._ended = message

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(_ANSWER_S)
            if code < 0:
                return f"the motion process was killed by {signal.Signals(-code).name}"
            return f"the motion process has ended with exit code {code}"
        return "the motion process has closed its link"
