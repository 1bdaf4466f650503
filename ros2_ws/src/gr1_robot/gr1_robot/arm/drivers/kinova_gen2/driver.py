"""The thread that owns the arm: one velocity point per twist, then readings; reconnecting; homing. ROS-free.

With an unplugged arm the vendor's calls block for seconds, and its MoveHome for ever. So the node's loop only
hands over twists and takes the newest reading; this thread makes the calls. A reading older than 100 ms is
not reported any more.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, replace

import numpy as np

from gr1_core.pose import Pose
from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.drivers.kinova_gen2.faults import SdkError
from gr1_robot.arm.drivers.kinova_gen2.sdk import NORMAL, READY
from gr1_robot.arm.drivers.kinova_gen2.session import Session, Status

QUEUE_MAX = 5
"""Points that may wait in the arm. Each is 10 ms of motion that a stop would not see: more are erased, with a
fault.
"""
_QUEUE_GOOD = 2
_READING_MAX_AGE_S = 0.1
_SILENT_S = 0.25
_FAULT_SHOWN_S = 1.0
_TWISTS_MAX = 2
_TWIST_MAX_AGE_S = 0.1
_FAILURES_MAX = 3
_IDLE_S = 0.02
_READING_BUDGET_S = 0.004
_BACK_OFF_S = (0.5, 4.0)
_HOMING_S = 60.0
_POLL_S = 0.1
_ABORT_WAIT_S = 0.1
_END_S = 2.0
_FINGER_GAIN, _FINGER_NEAR = 2.0, 20.0
_ZERO = np.zeros(3)


@dataclass(frozen=True)
class Reading:
    """The arm's last report: poses of the point between the fingertips, base frame; rad, rad/s, N, Nm;
    fingers f64[3] in the vendor's units; at: s on the steady clock, when the measured pose was read.
    """

    measured: Pose | None
    commanded: Pose | None
    fingers: np.ndarray
    joints: np.ndarray
    joint_velocities: np.ndarray
    force: np.ndarray | None
    torque: np.ndarray | None
    at: float


class Driver:
    """See the module's text. finger_closed: the vendor's units at closure 1; finger_speed: maximum, those
    units per second.

    counts: points sent; dropped (this thread was more than two points or 100 ms late); skipped (the arm's
    clock is slower than ours); queue_erased (times the queue was too long); queue_max (most points that
    waited); errors; lost.
    """

    def __init__(self, session: Session, finger_closed: float, finger_speed: float):
        self._session, self._closed, self._finger_speed = session, finger_closed, finger_speed
        self.homing = ""
        self.counts = Counter(
            dict.fromkeys(("sent", "dropped", "skipped", "queue_erased", "queue_max", "errors", "lost"), 0)
        )
        self._reading: Reading | None = None
        self._changed = threading.Condition()
        self._twists: deque[tuple[float, np.ndarray, np.ndarray]] = deque(maxlen=_TWISTS_MAX)
        self._closure: float | None = None
        self._fingers_may_move = self._rescheduled = False
        self._ending, self._aborted = threading.Event(), threading.Event()
        self._thread = self._make_thread()
        self._answered_at = 0.0
        self._failures = self._skip = 0
        self._lost = self._broken = self._homing_failed = ""
        self._recent_faults: dict[str, tuple[str, float]] = {}
        self._control_given_up = False
        self._homing_since = 0.0
        self._slow_readings = ("joints", "joint_velocities", "force", "queue")
        self._next_slow = 0

    # Called from other threads: only `start` and, for a moment, `stop` and `end` wait for the arm

    def start(self) -> None:
        """Connects. Raises ArmError."""
        self._connect()
        self._thread.start()

    def end(self) -> None:
        """Leaves the arm at rest and disconnects; does not wait for a vendor's call that does not return."""
        if self.homing == "running":
            self.stop()
        self._ending.set()
        with self._changed:
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def send_twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        """One point of 10 ms, m/s and rad/s."""
        if not self._rescheduled:
            # A thread inherits its creator's scheduling: it must be the loop's, which may be real-time, not
            # that of `connect`.
            self._rescheduled, self._thread = True, self._make_thread(self._thread)
            self._thread.start()
        with self._changed:
            self.counts["dropped"] += len(self._twists) == _TWISTS_MAX
            self._twists.append((time.monotonic(), linear, angular))
            self._changed.notify()

    def send_gripper(self, closure: float) -> None:
        """0 open .. 1 closed; the fingers move with the points that follow."""
        self._closure, self._fingers_may_move = closure, True

    def hold_gripper(self) -> None:
        """The fingers stay where they are until the next `send_gripper`."""
        self._closure = None

    def stop(self) -> None:
        """Rest now; the next twist takes control again. While the arm homes, each call interrupts it
        again.
        """
        homing = self.homing == "running"
        with self._changed:
            self._twists.clear()
            self._control_given_up, self._fingers_may_move = True, False
        self._aborted.set()
        if not self._lost:
            self._session.abort(0.0 if homing else _ABORT_WAIT_S, without_lock=homing)

    def start_homing(self) -> None:
        """Starts the arm's own homing in a thread: its MoveHome returns when the arm is home, or never."""
        if self.homing == "needed" and not self._lost:
            self._aborted.clear()  # before `homing` changes: a stop from now on must not be lost
            self._homing_failed, self._homing_since, self.homing = "", time.monotonic(), "running"
            threading.Thread(target=self._home, name="kinova homing", daemon=True).start()

    def clear_faults(self) -> None:
        """Clears a failed homing."""
        self._homing_failed = ""

    def reading(self) -> Reading:
        """The newest; without poses if it is older than 100 ms."""
        reading = self._reading
        return (
            reading
            if time.monotonic() - reading.at < _READING_MAX_AGE_S
            else replace(reading, measured=None, commanded=None)
        )

    def faults(self) -> list[str]:
        now = time.monotonic()
        found = [
            self._broken,
            self._homing_failed,
            *(text for text, at in tuple(self._recent_faults.values()) if now - at < _FAULT_SHOWN_S),
        ]
        if self._lost:
            found.append(f"the arm is lost ({self._lost}): searching for it")
        if self.homing == "running" and (taken := now - self._homing_since) > _HOMING_S:
            found.append(
                f"{self._session.calling or 'homing'} has not returned for {taken:.0f} s: look after the "
                "arm, then restart this node"
            )
        silent = now - self._answered_at
        if silent > _SILENT_S and self.homing != "running" and not self._lost and not self._broken:
            found.append(
                f"the vendor's library has not returned from {self._session.calling or 'its thread'} for "
                f"{silent:.1f} s"
            )
        return [fault for fault in found if fault]

    # In the driver's thread

    def _make_thread(self, predecessor: threading.Thread | None = None) -> threading.Thread:
        return threading.Thread(target=self._run, args=[predecessor], name="kinova", daemon=True)

    def _run(self, predecessor: threading.Thread | None) -> None:
        if predecessor:
            predecessor.join()
        while not self._ending.is_set():
            if self._broken or threading.current_thread() is not self._thread:
                return
            try:
                if self._lost:
                    self._reconnect()
                    continue
                with self._changed:
                    self._changed.wait_for(lambda: self._twists or self._ending.is_set(), _IDLE_S)
                self._step()
                self._failures = 0
            except SdkError as error:
                self._on_sdk_error(error)
            except Exception as error:
                self._broken = (
                    f"the driver has ended ({type(error).__name__}: {error}): report this, and restart "
                    "this node"
                )
                break
        if not self._lost:
            self._session.abort(_ABORT_WAIT_S, without_lock=False)
        self._session.close()

    def _step(self) -> None:
        """Sends the next point, then reads."""
        if not self._session.lock.acquire(timeout=_IDLE_S):  # homing has it
            if self._aborted.is_set() and self.homing == "running":
                # The stop came before the arm started its motion: once more.
                self._session.abort(0.0, without_lock=True)
            return
        try:
            begun = time.monotonic()
            # Under the session's lock, so that no twist from before a stop is sent after it.
            with self._changed:
                twist = self._twists.popleft() if self._twists else None
            if twist and not self.homing:
                self._send_point(*twist)
            self._read_poses()
            while True:
                self._read_slow(self._slow_readings[self._next_slow])
                self._next_slow = (self._next_slow + 1) % len(self._slow_readings)
                if self._next_slow == 0 or time.monotonic() - begun > _READING_BUDGET_S:
                    break
            self._answered_at = time.monotonic()
        finally:
            self._session.lock.release()

    def _send_point(self, at: float, linear: np.ndarray, angular: np.ndarray) -> None:
        if time.monotonic() - at > _TWIST_MAX_AGE_S:
            # This thread was held up by a call: the arm must not move on what was commanded before it.
            self.counts["dropped"] += 1
            return
        if self._control_given_up:
            self._take_control()
        if self._skip:
            self._skip -= 1
            self.counts["skipped"] += 1
            return
        if linear.any() or angular.any():
            self._fingers_may_move = True
        pose, fingers, at = self._reading.measured, self._finger_velocity(), self._reading.fingers
        # Checks the reading too: a finger at infinity would have a finite velocity.
        finite = np.isfinite([linear, angular, fingers, at]).all()
        if not finite:
            self._add_fault(
                "point",
                f"a number is not finite, a zero twist was sent: {linear} m/s, {angular} rad/s, fingers "
                f"{fingers}/s at {at}",
            )
        if pose is None or not finite:  # without an orientation the rotation cannot be converted
            self._session.send_point(_ZERO, _ZERO, np.array((0.0, 0.0, 0.0, 1.0)), _ZERO)
        else:
            self._session.send_point(linear, angular, pose.quaternion, fingers)
        self.counts["sent"] += 1

    def _finger_velocity(self) -> np.ndarray:
        closure = self._closure
        if closure is None or not self._fingers_may_move:
            return _ZERO
        error = closure * self._closed - self._reading.fingers
        return np.where(
            np.abs(error) < _FINGER_NEAR,
            0.0,
            np.clip(_FINGER_GAIN * error, -self._finger_speed, self._finger_speed),
        )

    def _read_poses(self) -> None:
        measured, fingers = self._session.pose()
        at = time.monotonic()
        commanded = self._session.commanded()
        self._reading = replace(
            self._reading,
            measured=_if_finite(measured),
            commanded=_if_finite(commanded),
            fingers=fingers,
            at=at,
        )

    def _read_slow(self, what: str) -> None:
        if what == "queue":
            self._limit_queue(self._session.queue_length())
        elif what == "force":
            force, torque = self._read_force()
            self._reading = replace(self._reading, force=force, torque=torque)
        else:
            self._reading = replace(self._reading, **{what: getattr(self._session, what)()})

    def _read_force(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        try:
            return self._session.force()
        except SdkError as error:
            if error.connection_lost:
                raise
            return None, None  # a healthy arm without torque sensors refuses this

    def _limit_queue(self, waiting: int) -> None:
        self.counts["queue_max"] = max(self.counts["queue_max"], waiting)
        self._skip = waiting - 1 if waiting > _QUEUE_GOOD else 0
        if waiting > QUEUE_MAX:
            self._session.erase_points()
            self._skip = 0
            self.counts["queue_erased"] += 1
            self._add_fault(
                "queue",
                f"{waiting} points waited in the arm and were erased: another program commands it, or "
                "its clock is slow",
            )

    def _add_fault(self, subject: str, fault: str) -> None:
        """A fault of this moment, shown for long enough that no tick of the loop misses it."""
        self._recent_faults[subject] = fault, time.monotonic()

    # A lost arm

    def _on_sdk_error(self, error: SdkError) -> None:
        self._failures += 1
        self.counts["errors"] += 1
        self._answered_at = time.monotonic()
        self._reading = replace(self._reading, measured=None, commanded=None)
        if error.connection_lost or self._failures >= _FAILURES_MAX:
            self.counts["lost"] += 1
            self._lost = str(error)
            # After reconnection the fingers do not move before the arm moves or the gripper is commanded.
            self._fingers_may_move = False

    def _reconnect(self) -> None:
        delay, longest = _BACK_OFF_S
        while not self._ending.wait(delay):
            try:
                self._session.close()
                self._connect()
                return
            except ArmError as error:
                self._lost = str(error)
                delay = min(2 * delay, longest)

    def _connect(self) -> None:
        """Connects and reads everything once. Raises ArmError."""
        status = self._session.open()
        try:
            self._check_ready(status)
            measured, fingers = self._session.pose()
            at, commanded = time.monotonic(), self._session.commanded()
            joints, velocities = self._session.joints(), self._session.joint_velocities()
            self._reading = Reading(
                _if_finite(measured),
                _if_finite(commanded),
                fingers,
                joints,
                velocities,
                *self._read_force(),
                at,
            )
        except SdkError as error:
            self._session.close()
            raise ArmError(str(error)) from error
        with self._changed:
            self._twists.clear()
            self._control_given_up = False
        self._failures = self._skip = 0
        self._lost = ""
        self._answered_at = time.monotonic()

    def _check_ready(self, status: Status) -> None:
        ready = status.fingers and status.retract in (READY, NORMAL)
        if ready:
            self._session.use_cartesian_control()
        self.homing = "" if ready else "needed"

    # Homing, in a thread of its own

    def _home(self) -> None:
        session = self._session
        try:
            self._run_unless_aborted(self._take_control, session.move_home)
            self._wait_until_ready()
            self._run_unless_aborted(session.init_fingers, session.use_cartesian_control)
        except Exception as error:
            self._homing_failed = (
                ""
                if self._aborted.is_set()
                else f"homing failed ({error}): call arm/clear_faults, then arm/home"
            )
            self._aborted.set()
        with self._changed:
            self._twists.clear()
        self._answered_at = time.monotonic()
        self.homing = "needed" if self._aborted.is_set() else ""

    def _run_unless_aborted(self, *steps) -> None:
        for step in steps:
            with self._session.lock:  # a stop may have arrived while this waited for the lock
                if not self._aborted.is_set():
                    step()

    def _take_control(self) -> None:
        self._session.take_control()
        self._control_given_up = False

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _HOMING_S
        while not self._aborted.is_set() and (retract := self._session.status().retract) != READY:
            if time.monotonic() > deadline:
                raise ArmError(f"the arm is not home after {_HOMING_S:.0f} s (retract state {retract})")
            self._aborted.wait(_POLL_S)


def _if_finite(pose: Pose) -> Pose | None:
    return pose if np.isfinite(pose.position).all() and np.isfinite(pose.quaternion).all() else None
