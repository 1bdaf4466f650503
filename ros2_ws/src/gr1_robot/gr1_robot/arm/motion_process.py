"""The motion process: arm, gate, homing and their loop at 100 Hz, without ROS. The arm node starts it and is
its face in the ROS graph.

It stops the arm by itself: when the node's end of the link closes, on SIGTERM, and on its stop socket. It is
in a process session of its own and ignores SIGINT, so that Ctrl-C reaches it only as the node's orderly
`close`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import ExitStack
from itertools import islice

from gr1_common.conventions import TICK
from gr1_common.loop import Loop
from gr1_common.scheduling import raise_scheduling_priority
from gr1_common.stop_socket import SHUTTING_DOWN
from gr1_core.rig import RigError
from gr1_robot.arm import drivers, motion_link
from gr1_robot.arm.backend import ArmError, check_rig_limits, load_backend
from gr1_robot.arm.controller import ArmController
from gr1_robot.arm.motion_link import Link
from gr1_robot.arm.run_lock import RunLock
from gr1_robot.arm.simulated_scene import SimulatedScene
from gr1_robot.arm.stop_server import StopServer

_SWITCH_INTERVAL_S = 5e-4
_REPORT_PERIOD_S = 0.25
_COUNTS_PERIOD_TICKS = 10
_REFUSAL_PERIOD_S = 1.0
_AT_ONCE = 100
"""Messages of the node between two looks at whether the process shall end."""
_END_S = 12.0
"""s after which the process ends whatever hangs; `_close` needs 6 s with a driver that does not answer."""


class MotionProcess:
    """One arm from its start to its end. Raises ArmError, RigError or OSError for what the user can fix."""

    def __init__(self, link: Link, start: motion_link.Start):
        self._link, self._failure, self._finished = link, "", threading.Event()
        self._wake = socket.socketpair()
        for end in self._wake:
            end.setblocking(False)
        self._ticks, self._reported = 0, None
        self._refused: dict[tuple, float] = {}
        self._calls: queue.SimpleQueue[motion_link.Call] = queue.SimpleQueue()
        self._at_once = {"stop": self._stop, "reset": self._reset, "slow_policy": self._slow_policy}
        with ExitStack() as undo:
            self._run_lock = RunLock(start.stop_file)
            undo.callback(self._run_lock.release)
            backend = load_backend(start.robot, start.rig, dict(start.settings))
            check_rig_limits(start.rig, backend.vendor_limits)
            undo.callback(backend.close)
            backend.connect()
            # Threads that are started from here on inherit it; a driver has chosen for its own.
            self.scheduling = raise_scheduling_priority() if start.realtime else "normal"
            # The longest that a thread waits for another one that runs Python code.
            sys.setswitchinterval(_SWITCH_INTERVAL_S)
            self.controller = ArmController(start.rig, backend, start.armed)
            self.notice = ""
            if self._run_lock.was_killed:
                self.notice = "the motion process before this one was not ended in order: call arm/reset"
                self.controller.stop("not_armed", self.notice)
            self._loop = Loop(self._step, TICK, self._on_failure, "arm")
            self._scene = None
            if start.robot == "sim":
                self._scene = SimulatedScene(
                    self.controller, self._loop, start.state_hz, start.settings["seed"]
                )
            self._slow = {
                "home": self.controller.go_home,
                "clear_faults": self.controller.clear_faults,
                "set_option": self.controller.set_option,
                "describe": self.controller.describe,
                "describe_scene": lambda: self._scene.describe(),
                "reset_scene": lambda *scene: self._scene.reset(*scene),
            }
            self._stop_server = StopServer(start.stop_file, self.controller)
            undo.callback(self._stop_server.close)
            threading.Thread(target=self._serve_calls, name="calls", daemon=True).start()
            # What exists now lives as long as the process: no collection in the loop looks at it again.
            gc.collect()
            gc.freeze()
            undo.pop_all()

    def run(self) -> int:
        """Serves the node until one of them ends; the exit code."""
        signal.signal(signal.SIGTERM, lambda *_: self._finish())
        why, backend = "its end was asked for", self.controller.backend
        try:
            ready = motion_link.Ready(backend.joint_names, self.scheduling, self.notice, backend.urdf())
            if not self._link.post_surely(ready, 1.0):
                raise RuntimeError("the arm node did not take the answer to its start, or it is too long")
            self._loop.start()  # after the message above: the node waits for it first
            why = self._serve()
        except Exception:
            self._failure = self._failure or traceback.format_exc()
        return self._close(why)

    def _serve(self) -> str:
        """Handles messages until the end; returns why it has come."""
        sources = [self._link, self._wake[0]]
        report_due = 0.0
        while not self._finished.is_set():
            ready = select.select(sources, [], [], _REPORT_PERIOD_S)[0]
            if self._link in ready:
                try:
                    # Not all that there is: a flood must not hide the end.
                    for message in islice(iter(self._link.receive, None), _AT_ONCE):
                        if isinstance(message, motion_link.Call) and message.name == "close":
                            self._run_lock.end_in_order()
                            return "the arm node ends"
                        self._handle(message)
                except EOFError:
                    return "the arm node has ended without a farewell"
            if (now := time.monotonic()) >= report_due:
                report_due = now + _REPORT_PERIOD_S
                self._link.post(self._report())
        return "the loop has failed" if self._failure else "its end was asked for"

    def _handle(self, message) -> None:
        match message:
            case motion_link.TwistCommand():
                self._tell_refusal(message.source, "twist", self.controller.submit_command(*message))
            case motion_link.GripperCommand():
                refusal = self.controller.submit_gripper(*message)
                self._tell_refusal(message.source, "gripper command", refusal)
            case motion_link.Release():
                self.controller.release(message.sent)
            case motion_link.Call() if message.name in self._at_once:
                self._reply(message, lambda: self._at_once[message.name](*message.arguments))
            case motion_link.Call():
                self._calls.put(message)

    def _stop(self) -> str:
        self.controller.stop()
        return ""

    def _slow_policy(self, slow: bool) -> str:
        self.controller.slow_policy(slow)
        return ""

    def _reset(self) -> str:
        if not (refusal := self.controller.reset()):
            self._run_lock.person_has_armed()
        return refusal

    def _tell_refusal(self, source: str, what: str, reason: str) -> None:
        """Once a second for each reason: it is for the log."""
        key, now = (source, what, reason), time.monotonic()
        if reason and now - self._refused.get(key, -_REFUSAL_PERIOD_S) >= _REFUSAL_PERIOD_S:
            self._refused[key] = now
            self._link.post(motion_link.Refusal(*key))

    def _report(self) -> motion_link.LoopReport:
        loop = self._loop
        periods = loop.rate.periods
        figures = {
            "rate_hz": loop.rate.hz,
            "period_p50_ms": 1e3 * periods.quantile(0.5),
            "period_p99_ms": 1e3 * periods.quantile(0.99),
            "period_max_ms": 1e3 * periods.quantile(1.0),
            "longest_ms": 1e3 * loop.longest,
            "missed": loop.missed,
            "scheduling": self.scheduling,
            "pid": os.getpid(),
        }
        return motion_link.LoopReport(figures, dict(self.controller.backend.diagnostic_values()))

    # The thread of calls that need the driver: each may take a second, and the link is served meanwhile

    def _serve_calls(self) -> None:
        while True:
            call = self._calls.get()
            self._reply(call, lambda call=call: self._slow[call.name](*call.arguments))

    def _reply(self, call: motion_link.Call, act) -> None:
        try:
            result, error = act(), None
        except ArmError as refused:
            result, error = None, str(refused)
        except Exception:
            self._failure = traceback.format_exc()
            return self._finish()
        self._link.post_surely(motion_link.Reply(call.number, result, error), 1.0)

    # The loop's thread

    def _step(self, now: float) -> None:
        snapshot = self.controller.step()
        at = time.monotonic()
        sample = self._scene.sample() if self._scene else None
        motion = snapshot.motion
        self._ticks += 1
        state = motion.state, motion.reason, motion.source
        counts = None
        if state != self._reported or self._ticks % _COUNTS_PERIOD_TICKS == 0:
            self._reported, counts = state, dict(self.controller.gate.counts)
        self._link.post(motion_link.Tick(at, snapshot, counts, sample))

    def _on_failure(self, error: Exception) -> None:
        self.controller.stop(SHUTTING_DOWN)
        self._failure = "".join(traceback.format_exception(error))
        # Before the driver is called: it may be what hangs, and the process must end nevertheless.
        self._finish()
        with contextlib.suppress(ArmError):
            self.controller.halt()

    def _finish(self) -> None:
        self._finished.set()
        with contextlib.suppress(OSError):
            self._wake[1].send(b"\0")

    def _close(self, why: str) -> int:
        """Ramp, stop, close, whatever else fails; a driver that hangs is left after a few seconds."""
        _end_at_the_latest_after(_END_S)
        began, trouble, rest = time.monotonic(), "", ""
        try:
            self.controller.stop(SHUTTING_DOWN)
            if self._loop.alive and self.controller.no_motion.wait(timeout=1.0):
                rest = f"no motion commanded after {1e3 * (time.monotonic() - began):.0f} ms, "
                rested = self.controller.at_rest.wait(timeout=1.0)
                passed = f"{1e3 * (time.monotonic() - began):.0f} ms"
                rest += f"the arm at rest after {passed}" if rested else f"still moving after {passed}"
            self._loop.end()
            self._look_for_close()
        finally:
            trouble = self.controller.close()
            self._stop_server.close()
        _say(f"motion process: {why}; {rest or 'its loop has not stopped the arm within 1 s'}", trouble)
        told = self._link.post_surely(motion_link.Ended(self._failure, trouble), 0.5)
        if self._failure and not told:
            _say(self._failure)
        return 1 if self._failure else 0

    def _look_for_close(self) -> None:
        """A service manager sends SIGTERM to both processes at once: the node's `close` may have come."""
        with contextlib.suppress(EOFError):
            while (message := self._link.receive()) is not None:
                if isinstance(message, motion_link.Call) and message.name == "close":
                    self._run_lock.end_in_order()


def _end_at_the_latest_after(seconds: float) -> None:
    timer = threading.Timer(seconds, lambda: os._exit(1))
    timer.daemon = True
    timer.start()


def _say(*lines: str) -> None:
    """To the log; whoever read it may have ended."""
    with contextlib.suppress(OSError, ValueError):
        for line in filter(None, lines):
            print(line, file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """argv: the number of the file descriptor that is this end of the link."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    [number] = sys.argv[1:] if argv is None else argv
    link = Link(socket.socket(fileno=int(number)))
    try:
        start = link.await_message()
        drivers.__path__ = list(start.drivers)
        process = MotionProcess(link, start)
    except EOFError:
        return 1  # the node has gone before it said what to do
    except (ArmError, RigError, OSError) as error:
        link.post_surely(motion_link.Failed(str(error)), 1.0)
        return 1
    return process.run()


if __name__ == "__main__":
    sys.exit(main())
