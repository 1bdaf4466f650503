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
from typing import NamedTuple

import numpy as np

from gr1_robot.arm.backend import ArmState, Pose
from gr1_robot.arm.drivers.kinova_gen3 import units
from gr1_robot.arm.drivers.kinova_gen3.faults import faults
from gr1_robot.arm.drivers.kinova_gen3.session import KortexError, Login, Refused, Session
from gr1_robot.arm.drivers.kinova_gen3.watchdog_client import Guard

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


class _Asked(NamedTuple):
    """m/s and rad/s of the fingertips, base frame; s on the steady clock. One object: no thread sees a twist with another's time."""

    linear: np.ndarray
    angular: np.ndarray
    at: float

    @property
    def age_ms(self) -> float:
        return 1e3 * (time.monotonic() - self.at)


class Link:
    """grip: m from the flange to the fingertips; guard_ms: the guardian's patience; wrench: whether the arm's own estimate is reported."""

    def __init__(self, login: Login, grip: float, guard_ms: int, wrench: bool):
        self._login, self._grip, self._guard_ms, self._wrench = login, grip, guard_ms, wrench
        self._session: Session | None = None
        self._guard: Guard | None = None
        self._tool: units.Tool | None = None
        self._asked = _Asked(np.zeros(3), np.zeros(3), -np.inf)
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
        self._thread = threading.Thread(target=self._run, name="kinova_gen3", daemon=True)

    # Called by the arm node; nothing here waits for the arm but `open`, `close` and `rest`

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
        self._asked = _Asked(linear, angular, time.monotonic())
        self._wake.set()

    def gripper(self, closure: float) -> None:
        self._closure = closure

    def hold_gripper(self) -> None:
        """The newest measured closure becomes the one that is commanded."""
        self._closure = self._state.closure

    def rest(self) -> None:
        """Stops the arm now. If the link hangs, so do its heartbeats, and the guardian does it."""
        self.twist(np.zeros(3), np.zeros(3))
        with contextlib.suppress(KortexError, TimeoutError):
            self._queue(lambda: self._session.call(self._session.base.Stop)).result(self._guard_ms / 1e3)

    def clear_faults(self) -> None:
        """Has it done soon; what goes wrong with it is told by `faults`. Raises KortexError if the arm is lost."""

        def clear():
            try:
                self._session.call(self._session.base.ClearFaults, timeout_ms=_SETUP_MS)
            except Refused as error:
                self._happened(str(error))
            self._servo()

        self._queue(clear)

    def _queue(self, work: Callable[[], None]) -> Future:
        """For the link's thread to do. Raises KortexError if the arm is lost."""
        if self._lost:
            raise KortexError(self._lost)
        future = Future()
        self._jobs.append((work, future))
        self._wake.set()
        return future

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
            self._lost = (
                f"the link to the arm has failed, restart the arm node: {type(error).__name__}: {error}"
            )
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
            # The arm may still carry out the twist of a program that is gone. One in fault may refuse: it rests.
            with contextlib.suppress(Refused):
                call(base.Stop)
            count = call(base.GetActuatorCount).count
            if count != JOINTS:
                raise KortexError(
                    f"the arm at {self._login.address} has {count} joints: this backend is for the Gen3 with {JOINTS}"
                )
            tool = call(session.control.GetToolConfiguration).tool_transform
            self._tool = units.Tool(
                (tool.x, tool.y, tool.z), (tool.theta_x, tool.theta_y, tool.theta_z), self._grip
            )
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
        self._watch()
        self._send()
        self._grasp()
        for work, future in self._take_jobs():
            try:
                future.set_result(work())
            except KortexError as error:
                future.set_exception(error)
                if not isinstance(error, Refused):
                    raise
        self._read()

    def _watch(self) -> None:
        """What forbids motion although the arm itself is well."""
        trouble = self._guard.trouble()
        if trouble:
            raise KortexError(trouble)
        if self._guard.tripped:
            self._happened("the guardian has stopped the arm: the arm node did not run for a while")
            self._sent = ()
        if any(self._sent) and (age := self._asked.age_ms) > self._guard_ms:
            self._happened(f"the arm node's loop has stood still for {age:.0f} ms")

    def _send(self) -> None:
        """Sends the twist if it has changed; a heartbeat first, so that the guardian is awake before the arm moves."""
        asked = self._asked
        twist = self._wanted(asked)
        moving, now = any(twist), time.monotonic()
        due = twist != self._sent and not (moving and now - self._sent_at < _TWIST_PERIOD)
        self._guard.beat(moving or any(self._sent))
        if due:
            command, rest = _twist_command(twist), _twist_command(_REST)
            # Nothing between this clock and the call: a process that is frozen before it must not send what it meant to send then.
            if moving and (age := asked.age_ms) > self._guard_ms:
                self._happened(
                    f"a twist was not sent, for it was {age:.0f} ms old: the arm node did not run for a while"
                )
                twist, command = _REST, rest
            try:
                self._session.call(self._session.base.SendTwistCommand, command)
            except Refused as error:
                self._happened(str(error))
                with contextlib.suppress(Refused):
                    self._session.call(self._session.base.Stop)
                twist = _REST
            self._sent, self._sent_at = twist, now
            if not any(twist):
                self._guard.beat(False)

    def _wanted(self, asked: _Asked) -> tuple[float, ...]:
        """What the tool point shall do now: rest if a fault is told, no pose is known or what was asked is too old or not finite."""
        told = any(time.monotonic() < until for until in list(self._events.values()))
        fingertips = self._state.commanded
        if (
            told
            or asked.age_ms > self._guard_ms
            or fingertips is None
            or not (asked.linear.any() or asked.angular.any())
        ):
            return _REST
        twist = tuple(
            float(value)
            for part in self._tool.twist(asked.linear, asked.angular, fingertips)
            for value in part
        )
        if np.isfinite(twist).all():
            return twist
        self._happened(f"a twist was not sent, for it is not finite: {twist}")
        return _REST

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
            measured=self._fingertips(base, "tool_pose"),
            commanded=self._fingertips(base, "commanded_tool_pose"),
            joints=units.joint_angles([actuator.position for actuator in actuators]),
            joint_velocities=np.radians([actuator.velocity for actuator in actuators]),
            closure=motors[0].position / 100.0 if motors else 0.0,
            at=at,
            force=_vector(base, "tool_external_wrench_force") if self._wrench else None,
            torque=_vector(base, "tool_external_wrench_torque") if self._wrench else None,
        )

    def _fingertips(self, base, name: str) -> Pose | None:
        pose = _vector(base, name), _vector(base, f"{name}_theta")
        if np.isfinite(pose).all():
            return self._tool.fingertips(*pose)
        self._happened(f"the arm reports a {name} that is not finite: {pose}")
        return None

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


def _report(text: str) -> None:
    print(f"kortex: {text}", file=sys.stderr, flush=True)
