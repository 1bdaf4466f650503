"""The thread that owns the arm: sends the newest twist, reads the newest state, reconnects after a loss.
ROS-free.

One thread makes all calls in sequence, in step with the arm node (a call takes 1 to 3 ms). So a twist always
belongs to the state it was computed from, a heartbeat to the watchdog means that the whole chain works, and
the vendor's router need not be thread-safe.
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

from gr1_core.pose import Pose
from gr1_robot.arm.backend import ArmState
from gr1_robot.arm.drivers.kinova_gen3 import units
from gr1_robot.arm.drivers.kinova_gen3.faults import fault_texts
from gr1_robot.arm.drivers.kinova_gen3.session import KortexError, Login, Refused, Session
from gr1_robot.arm.drivers.kinova_gen3.watchdog_client import WatchdogClient

JOINTS = 7

_IDLE_S = 0.02
# The arm takes 40 commands a second (Kortex #13); more would wait in its queue. A zero twist is sent at once.
_TWIST_PERIOD_S = 0.025
# Calls made once, at rest, may take longer than those made a hundred times a second.
_SETUP_MS = 2000
# How long a fault of a moment is shown: the gate sees it within 10 ms and latches; later it must not block a
# person's reset.
_FAULT_SHOWN_S = 1.0
_END_S = 2.0
# How long after its last twist the arm may still report that it executes one.
_SETTLING_S = 0.5
_BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_ZERO_TWIST = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
_NO_STATE = ArmState(None, None, np.zeros(JOINTS), np.zeros(JOINTS), 0.0, at=-np.inf)


class _Request(NamedTuple):
    """The requested twist of the fingertips, m/s and rad/s, base frame; at: s on the steady clock.

    One object, so that no thread sees a twist with the time of another one.
    """

    linear: np.ndarray
    angular: np.ndarray
    at: float

    @property
    def age_ms(self) -> float:
        return 1e3 * (time.monotonic() - self.at)


class Driver:
    """flange_to_fingertips: m; watchdog_ms: timeout of the watchdog process; wrench: whether the arm's force
    estimate is reported.

    identity: what is connected, for a person.
    """

    def __init__(self, login: Login, flange_to_fingertips: float, watchdog_ms: int, wrench: bool):
        self._login, self._flange_to_fingertips = login, flange_to_fingertips
        self._watchdog_ms, self._wrench = watchdog_ms, wrench
        self._session: Session | None = None
        self._watchdog: WatchdogClient | None = None
        self._tool: units.Tool | None = None
        self._request = _Request(np.zeros(3), np.zeros(3), -np.inf)
        self._sent, self._sent_at, self._moved_at = _ZERO_TWIST, -np.inf, -np.inf
        self._closure: float | None = None
        self._closure_sent: float | None = None
        self._jobs: list[tuple[Callable[[], None], Future]] = []
        self._state = _NO_STATE
        self._faults: list[str] = []
        self._recent_faults: dict[str, float] = {}
        self._lost = ""
        self.identity = ""
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="kinova_gen3", daemon=True)

    # Called from other threads: only `start`, `end` and `stop` wait for the arm

    def start(self) -> None:
        """Connects. Raises KortexError."""
        self._connect()
        self._thread.start()

    def end(self) -> None:
        """Stops the arm and disconnects; may be called twice."""
        self._ending.set()
        self._wake.set()
        if self._thread.is_alive():
            # It takes longer only if the arm hangs in a login; then nothing moves.
            self._thread.join(timeout=_END_S)

    def send_twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        """m/s and rad/s of the fingertips, base frame. A twist that is not repeated within `watchdog_ms`
        ends.
        """
        self._request = _Request(linear, angular, time.monotonic())
        self._wake.set()

    def send_gripper(self, closure: float) -> None:
        self._closure = closure

    def hold_gripper(self) -> None:
        """Commands the newest measured closure; nothing where the arm reports none."""
        closure = self._state.closure
        self._closure = closure if np.isfinite(closure) else self._closure_sent

    def stop(self) -> None:
        """Stops the arm now. If this thread hangs, so do its heartbeats, and the watchdog stops the arm."""
        self.send_twist(np.zeros(3), np.zeros(3))
        with contextlib.suppress(KortexError, TimeoutError):
            self._queue_job(lambda: self._session.call(self._session.base.Stop)).result(
                self._watchdog_ms / 1e3
            )

    def clear_faults(self) -> None:
        """Queues the request; `faults` shows a refusal. Raises KortexError if the arm is lost."""

        def clear():
            try:
                self._session.call(self._session.base.ClearFaults, timeout_ms=_SETUP_MS)
            except Refused as error:
                self._add_fault(str(error))
            self._set_servoing_mode()

        self._queue_job(clear)

    def _queue_job(self, work: Callable[[], None]) -> Future:
        """Runs `work` in the driver's thread. Raises KortexError if the arm is lost."""
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
        return [*self._faults, *(text for text, until in list(self._recent_faults.items()) if now < until)]

    # In the driver's thread

    def _run(self) -> None:
        try:
            self._run_steps()
        except Exception as error:
            self._lost = f"the arm's driver has failed, restart the arm node: {type(error).__name__}: {error}"
            raise
        finally:
            self._disconnect()

    def _run_steps(self) -> None:
        attempt = 0
        while not self._ending.is_set():
            try:
                if self._session is None:
                    self._connect()
                    attempt = 0
                self._wake.wait(_IDLE_S)
                self._wake.clear()
                self._step()
            except KortexError as error:
                self._on_lost(error)
                self._ending.wait(_BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)])
                attempt += 1

    def _connect(self) -> None:
        session = watchdog = None
        try:
            session = Session(self._login)
            call, base = partial(session.call, timeout_ms=_SETUP_MS), session.base
            # The arm may still execute the twist of a program that has ended. An arm in fault may refuse: it
            # rests.
            with contextlib.suppress(Refused):
                call(base.Stop)
            count = call(base.GetActuatorCount).count
            if count != JOINTS:
                raise KortexError(
                    f"the arm at {self._login.address} has {count} joints: this driver is for the Gen3 "
                    f"with {JOINTS}"
                )
            tool = call(session.control.GetToolConfiguration).tool_transform
            self._tool = units.Tool(
                (tool.x, tool.y, tool.z),
                (tool.theta_x, tool.theta_y, tool.theta_z),
                self._flange_to_fingertips,
            )
            serial = call(session.device.GetSerialNumber).serial_number.strip("\0")
            version = call(base.GetFirmwareBundleVersions).main_bundle_version
            self.identity = f"Kinova Gen3, {count} joints, serial number {serial}, firmware {version}"
            watchdog = WatchdogClient(self._login, self._watchdog_ms)
            self._session, self._watchdog = session, watchdog
            self._sent, self._closure_sent = _ZERO_TWIST, self._closure
            self._set_servoing_mode()
            self._read_state()
        except BaseException:
            self._session = self._watchdog = None
            if watchdog:
                watchdog.drop()
            if session:
                session.close()
            raise
        if self._lost:
            _report(f"the arm at {self._login.address} is back")
        self._lost = ""

    def _set_servoing_mode(self) -> None:
        from kortex_api.autogen.messages import Base_pb2

        mode = Base_pb2.ServoingModeInformation()
        mode.servoing_mode = Base_pb2.SINGLE_LEVEL_SERVOING
        # An arm in fault may refuse; `clear_faults` asks again.
        with contextlib.suppress(Refused):
            self._session.call(self._session.base.SetServoingMode, mode, timeout_ms=_SETUP_MS)

    def _step(self) -> None:
        self._check_watchdog()
        self._send_requested_twist()
        self._send_requested_closure()
        for work, future in self._take_jobs():
            try:
                future.set_result(work())
            except KortexError as error:
                future.set_exception(error)
                if not isinstance(error, Refused):
                    raise
        self._read_state()

    def _check_watchdog(self) -> None:
        """Raises KortexError for what forbids motion although the arm itself is healthy; adds a fault after
        an intervention.
        """
        trouble = self._watchdog.trouble()
        if trouble:
            raise KortexError(trouble)
        if self._watchdog.tripped:
            self._add_fault("the watchdog has stopped the arm: the arm node did not run for a while")
            self._sent = ()
        if any(self._sent) and (age := self._request.age_ms) > self._watchdog_ms:
            self._add_fault(f"the arm node's loop has stalled for {age:.0f} ms")

    def _send_requested_twist(self) -> None:
        """Sends the twist if it has changed; a heartbeat first, so that the watchdog is alert before the arm
        moves.
        """
        request = self._request
        twist = self._tool_twist(request)
        moving, now = any(twist), time.monotonic()
        due = twist != self._sent and not (moving and now - self._sent_at < _TWIST_PERIOD_S)
        self._watchdog.beat(moving or any(self._sent))
        if due:
            command, zero = _twist_command(twist), _twist_command(_ZERO_TWIST)
            # Nothing between this clock and the call: a process frozen before it must not send its old twist
            # afterwards.
            if moving and (age := request.age_ms) > self._watchdog_ms:
                self._add_fault(
                    f"a twist was not sent because it was {age:.0f} ms old: the arm node did not run for "
                    "a while"
                )
                twist, command = _ZERO_TWIST, zero
            try:
                self._session.call(self._session.base.SendTwistCommand, command)
            except Refused as error:
                self._add_fault(str(error))
                with contextlib.suppress(Refused):
                    self._session.call(self._session.base.Stop)
                twist = _ZERO_TWIST
            self._sent, self._sent_at = twist, now
            if not any(twist):
                self._watchdog.beat(False)

    def _tool_twist(self, request: _Request) -> tuple[float, ...]:
        """The arm's tool point twist; zero if a fault is shown, no pose is known, or the request is too old
        or not finite.
        """
        faulty = any(time.monotonic() < until for until in list(self._recent_faults.values()))
        fingertips = self._state.commanded
        if (
            faulty
            or request.age_ms > self._watchdog_ms
            or fingertips is None
            or not (request.linear.any() or request.angular.any())
        ):
            return _ZERO_TWIST
        twist = tuple(
            float(value)
            for part in self._tool.twist(request.linear, request.angular, fingertips)
            for value in part
        )
        if np.isfinite(twist).all():
            return twist
        self._add_fault(f"a twist was not sent because it is not finite: {twist}")
        return _ZERO_TWIST

    def _send_requested_closure(self) -> None:
        closure = self._closure
        if closure == self._closure_sent:
            return
        self._closure_sent = closure
        try:
            self._session.call(self._session.base.SendGripperCommand, _gripper_command(closure))
        except Refused as error:
            self._add_fault(str(error))

    def _read_state(self) -> None:
        at = time.monotonic()
        feedback = self._session.call(self._session.cyclic.RefreshFeedback)
        base, actuators = feedback.base, feedback.actuators
        motors = feedback.interconnect.gripper_feedback.motor
        if any(self._sent):
            self._moved_at = at
        self._faults = fault_texts(feedback, moving=at - self._moved_at < _SETTLING_S)
        self._state = ArmState(
            measured=self._fingertips(base, "tool_pose"),
            commanded=self._fingertips(base, "commanded_tool_pose"),
            joints=units.joint_angles([actuator.position for actuator in actuators]),
            joint_velocities=np.radians([actuator.velocity for actuator in actuators]),
            closure=motors[0].position / 100.0 if motors else np.nan,
            at=at,
            force=_vector(base, "tool_external_wrench_force") if self._wrench else None,
            torque=_vector(base, "tool_external_wrench_torque") if self._wrench else None,
        )

    def _fingertips(self, base, name: str) -> Pose | None:
        pose = _vector(base, name), _vector(base, f"{name}_theta")
        if np.isfinite(pose).all():
            return self._tool.fingertips(*pose)
        self._add_fault(f"the arm reports a {name} that is not finite: {pose}")
        return None

    def _add_fault(self, text: str) -> None:
        """A fault of this moment, shown for a second."""
        now, known = time.monotonic(), self._recent_faults
        if now >= known.get(text, -np.inf):
            _report(text)
        # Texts have numbers in them, so each may be a new one. Another thread reads this one.
        recent = {one: until for one, until in known.items() if now < until}
        self._recent_faults = recent | {text: now + _FAULT_SHOWN_S}

    def _take_jobs(self):
        while self._jobs:
            yield self._jobs.pop(0)

    def _on_lost(self, error: KortexError) -> None:
        if not self._lost:
            _report(f"lost the arm: {error}")
        self._lost = f"lost the arm, searching for it: {error}"
        session, watchdog, self._session, self._watchdog = self._session, self._watchdog, None, None
        if watchdog:
            watchdog.drop()
        if session:
            # It may be the watchdog that was lost.
            with contextlib.suppress(KortexError):
                session.call(session.base.Stop)
            session.close()
        for _, future in self._take_jobs():
            future.set_exception(KortexError(self._lost))

    def _disconnect(self) -> None:
        """Stops the arm; if that fails, the watchdog stops it."""
        session, watchdog, self._session, self._watchdog = self._session, self._watchdog, None, None
        if session is None:
            return
        try:
            session.call(session.base.Stop)
            watchdog.leave()
        except KortexError:
            watchdog.drop()
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
    # Whoever read it may have ended: that must not end the driver.
    with contextlib.suppress(OSError, ValueError):
        print(f"kinova_gen3: {text}", file=sys.stderr, flush=True)
