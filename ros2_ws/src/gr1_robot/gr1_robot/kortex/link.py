"""The thread that talks to the arm: the newest twist out, the newest state in, and the way back after a loss. No ROS.

One thread makes every call, one after the other, at the arm node's beat (a call takes 1 to 3 ms): a twist is never ahead of or behind the
state that it was made from, a heartbeat to the guardian means that the whole chain works, and the vendor's router need not be thread-safe.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import numpy as np

from gr1_robot.backend import ArmState
from gr1_robot.kortex import convert
from gr1_robot.kortex.faults import faults
from gr1_robot.kortex.guard import Guard
from gr1_robot.kortex.session import KortexError, Login, Refused, Session

JOINTS = 7

_BEAT = 0.02
# The arm takes 40 commands a second (kortex #13); more only wait in its queue. Rest does not wait.
_TWIST_PERIOD = 0.025
# What is asked once, at rest, may take the arm longer than what it is asked a hundred times a second.
_SETUP_MS = 2000
# How long something that has happened is told: the gate sees it within 10 ms and latches, and then a person's reset must not be refused.
_TOLD = 1.0
_PATIENCE = 2.0
_BACK_OFF = (0.2, 0.5, 1.0, 2.0, 5.0)
_REST = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
_BLANK = ArmState(None, None, np.zeros(JOINTS), np.zeros(JOINTS), 0.0, at=-np.inf)


class Link:
    """grip: m from the flange to the fingertips; guard_ms: the guardian's patience; wrench: whether the arm's own estimate is reported."""

    def __init__(self, login: Login, grip: float, guard_ms: int, wrench: bool):
        self._login, self._grip, self._guard_ms, self._wrench = login, grip, guard_ms, wrench
        self._session: Session | None = None
        self._guard: Guard | None = None
        self._tool: convert.Tool | None = None
        self._asked, self._asked_at = (np.zeros(3), np.zeros(3)), -np.inf
        self._sent, self._sent_at = _REST, -np.inf
        self._closure: float | None = None
        self._closure_sent: float | None = None
        self._jobs: list[tuple[Callable[[], None], Future]] = []
        self._state = _BLANK
        self._faults: list[str] = []
        self._events: dict[str, float] = {}
        self._lost = ""
        self.about = ""
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="kortex", daemon=True)

    # Called by the arm node; nothing here waits for the arm but `open`, `close`, `rest` and `clear_faults`

    def open(self) -> None:
        """Connects and starts. Raises KortexError."""
        self._connect()
        self._thread.start()

    def close(self) -> None:
        """Stops the arm and lets go of it; may be called twice."""
        self._ending.set()
        self._wake.set()
        if self._thread.is_alive():
            # Longer only if the arm hangs in a log-in: then nothing moves.
            self._thread.join(timeout=_PATIENCE)

    def twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        """m/s and rad/s of the fingertips, base frame. What is not asked again within the guardian's patience ends."""
        self._asked, self._asked_at = (linear, angular), time.monotonic()
        self._wake.set()

    def gripper(self, closure: float) -> None:
        self._closure = closure

    def rest(self) -> None:
        """Stops the arm now. If the link hangs, so do its heartbeats, and the guardian does it."""
        self.twist(np.zeros(3), np.zeros(3))
        with contextlib.suppress(KortexError):
            self._do(lambda: self._session.call(self._session.base.Stop), timeout=self._guard_ms / 1e3)

    def clear_faults(self) -> None:
        """Raises KortexError."""

        def clear():
            self._session.call(self._session.base.ClearFaults, timeout_ms=_SETUP_MS)
            self._servo()

        self._do(clear, timeout=2e-3 * _SETUP_MS)

    def _do(self, work: Callable[[], None], timeout: float) -> None:
        """Has the link's thread do it; raises KortexError if that fails or takes longer than `timeout` s."""
        if self._lost:
            raise KortexError(self._lost)
        future = Future()
        self._jobs.append((work, future))
        self._wake.set()
        try:
            future.result(timeout)
        except TimeoutError:
            raise KortexError(f"the arm did not answer within {timeout:.1f} s") from None

    def state(self) -> ArmState:
        state = self._state
        return replace(state, measured=None, commanded=None) if self._lost else state

    def faults(self) -> list[str]:
        if self._lost:
            return [self._lost]
        now = time.monotonic()
        return [*self._faults, *(text for text, until in list(self._events.items()) if now < until)]

    # The link's thread

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self._lost = f"the link to the arm has failed, restart the arm node: {type(error).__name__}: {error}"
            raise
        finally:
            self._leave()

    def _work(self) -> None:
        attempt = 0
        while not self._ending.is_set():
            try:
                if self._session is None:
                    self._connect()
                    attempt = 0
                self._wake.wait(_BEAT)
                self._wake.clear()
                self._step()
            except KortexError as error:
                self._lose(error)
                self._ending.wait(_BACK_OFF[min(attempt, len(_BACK_OFF) - 1)])
                attempt += 1

    def _connect(self) -> None:
        session = guard = None
        try:
            session = Session(self._login)
            call, base = partial(session.call, timeout_ms=_SETUP_MS), session.base
            if self._lost:
                call(base.Stop)
            count = call(base.GetActuatorCount).count
            if count != JOINTS:
                raise KortexError(f"the arm at {self._login.address} has {count} joints: this backend is for the Gen3 with {JOINTS}")
            tool = call(session.control.GetToolConfiguration).tool_transform
            self._tool = convert.Tool((tool.x, tool.y, tool.z), (tool.theta_x, tool.theta_y, tool.theta_z), self._grip)
            serial = call(session.device.GetSerialNumber).serial_number.strip("\0")
            version = call(base.GetFirmwareBundleVersions).main_bundle_version
            self.about = f"Kinova Gen3, {count} joints, serial number {serial}, firmware {version}"
            guard = Guard(self._login, self._guard_ms)
            self._session, self._guard = session, guard
            self._sent, self._closure_sent = _REST, self._closure
            self._servo()
            self._read()
        except BaseException:
            self._session = self._guard = None
            if guard:
                guard.drop()
            if session:
                session.close()
            raise
        if self._lost:
            _report(f"the arm at {self._login.address} is back")
        self._lost = ""

    def _servo(self) -> None:
        from kortex_api.autogen.messages import Base_pb2

        mode = Base_pb2.ServoingModeInformation()
        mode.servoing_mode = Base_pb2.SINGLE_LEVEL_SERVOING
        # An arm in fault may refuse it; `clear_faults` asks again.
        with contextlib.suppress(Refused):
            self._session.call(self._session.base.SetServoingMode, mode, timeout_ms=_SETUP_MS)

    def _step(self) -> None:
        self._watch(time.monotonic())
        self._send(time.monotonic())
        self._grasp()
        for work, future in self._take_jobs():
            try:
                future.set_result(work())
            except KortexError as error:
                future.set_exception(error)
                if not isinstance(error, Refused):
                    raise
        self._read()

    def _watch(self, now: float) -> None:
        """What forbids motion although the arm itself is well."""
        trouble = self._guard.trouble()
        if trouble:
            raise KortexError(trouble)
        if self._guard.tripped:
            self._happened("the guardian has stopped the arm: the arm node did not run for a while")
            self._sent = ()
        if any(self._sent) and now - self._asked_at > self._guard_ms / 1e3:
            self._happened(f"the arm node's loop has stood still for {1e3 * (now - self._asked_at):.0f} ms")

    def _send(self, now: float) -> None:
        """Sends the twist if it has changed; a heartbeat first, so that the guardian is awake before the arm moves."""
        told = any(now < until for until in list(self._events.values()))
        fingertips = self._state.commanded
        twist = _REST
        if not told and now - self._asked_at < self._guard_ms / 1e3 and fingertips is not None:
            linear, angular = self._asked
            if linear.any() or angular.any():
                twist = tuple(float(value) for part in self._tool.twist(linear, angular, fingertips) for value in part)
        moving = any(twist)
        due = twist != self._sent and not (moving and now - self._sent_at < _TWIST_PERIOD)
        self._guard.beat(moving or any(self._sent))
        if due:
            try:
                self._session.call(self._session.base.SendTwistCommand, _twist_command(twist))
            except Refused as error:
                self._happened(str(error))
                with contextlib.suppress(Refused):
                    self._session.call(self._session.base.Stop)
                twist = _REST
            self._sent, self._sent_at = twist, now
            if not any(twist):
                self._guard.beat(False)

    def _grasp(self) -> None:
        closure = self._closure
        if closure == self._closure_sent:
            return
        self._closure_sent = closure
        try:
            self._session.call(self._session.base.SendGripperCommand, _gripper_command(closure))
        except Refused as error:
            self._happened(str(error))

    def _read(self) -> None:
        at = time.monotonic()
        feedback = self._session.call(self._session.cyclic.RefreshFeedback)
        base, actuators = feedback.base, feedback.actuators
        motors = feedback.interconnect.gripper_feedback.motor
        self._faults = faults(feedback)
        self._state = ArmState(
            measured=self._tool.fingertips(*_pose(base, "tool_pose")),
            commanded=self._tool.fingertips(*_pose(base, "commanded_tool_pose")),
            joints=convert.joint_angles([actuator.position for actuator in actuators]),
            joint_velocities=np.radians([actuator.velocity for actuator in actuators]),
            closure=motors[0].position / 100.0 if motors else 0.0,
            at=at,
            force=_vector(base, "tool_external_wrench_force") if self._wrench else None,
            torque=_vector(base, "tool_external_wrench_torque") if self._wrench else None,
        )

    def _happened(self, text: str) -> None:
        if time.monotonic() >= self._events.get(text, -np.inf):
            _report(text)
        self._events[text] = time.monotonic() + _TOLD

    def _take_jobs(self):
        while self._jobs:
            yield self._jobs.pop(0)

    def _lose(self, error: KortexError) -> None:
        if not self._lost:
            _report(f"lost the arm: {error}")
        self._lost = f"lost the arm, looking for it: {error}"
        session, guard, self._session, self._guard = self._session, self._guard, None, None
        if guard:
            guard.drop()
        if session:
            # It may be the guardian that was lost.
            with contextlib.suppress(KortexError):
                session.call(session.base.Stop)
            session.close()
        for _, future in self._take_jobs():
            future.set_exception(KortexError(self._lost))

    def _leave(self) -> None:
        """Stops the arm; whatever goes wrong with that is left to the guardian."""
        session, guard, self._session, self._guard = self._session, self._guard, None, None
        if session is None:
            return
        try:
            session.call(session.base.Stop)
            guard.leave()
        except KortexError:
            guard.drop()
        session.close()


def _twist_command(twist):
    from kortex_api.autogen.messages import Base_pb2, Common_pb2

    command = Base_pb2.TwistCommand()
    command.reference_frame = Common_pb2.CARTESIAN_REFERENCE_FRAME_BASE
    part = command.twist
    part.linear_x, part.linear_y, part.linear_z, part.angular_x, part.angular_y, part.angular_z = twist
    return command


def _gripper_command(closure: float):
    from kortex_api.autogen.messages import Base_pb2

    command = Base_pb2.GripperCommand()
    command.mode = Base_pb2.GRIPPER_POSITION
    finger = command.gripper.finger.add()
    finger.finger_identifier, finger.value = 1, float(closure)
    return command


def _vector(message, name: str) -> np.ndarray:
    return np.array([getattr(message, f"{name}_{axis}") for axis in "xyz"])


def _pose(message, name: str) -> tuple[np.ndarray, np.ndarray]:
    return _vector(message, name), _vector(message, f"{name}_theta")


def _report(text: str) -> None:
    print(f"kortex: {text}", file=sys.stderr, flush=True)
