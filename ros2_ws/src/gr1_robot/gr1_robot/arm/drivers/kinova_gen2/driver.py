"""The thread that owns the arm: one velocity point for each twist, then readings; a lost arm is looked for; homing.

An unplugged arm lets the vendor's calls block for seconds, and its MoveHome for ever. So the node's loop only hands over twists and
takes the newest reading; this thread makes the calls, and what it has not heard of for 100 ms is no longer reported.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, replace

import numpy as np

from gr1_robot.arm.backend import BackendError, Pose
from gr1_robot.arm.drivers.kinova_gen2.faults import SdkError
from gr1_robot.arm.drivers.kinova_gen2.sdk import NORMAL, READY
from gr1_robot.arm.drivers.kinova_gen2.session import Link, Status

QUEUE_MAX = 5
"""Points waiting in the arm, each 10 ms of motion that a stop would not see: more than these are erased, with a fault."""
_QUEUE_GOOD = 2
_FRESH_S = 0.1
_SILENT_S = 0.25
_TOLD_S = 1.0
_LATE = 2
_FAILURES = 3
_IDLE_S = 0.02
_BUDGET_S = 0.004
_BACK_OFF_S = (0.5, 4.0)
_HOMING_S = 60.0
_POLL_S = 0.1
_PATIENCE_S = 0.1
_END_S = 2.0
_FINGER_GAIN, _FINGER_NEAR = 2.0, 20.0
_STILL = np.zeros(3)


@dataclass(frozen=True)
class Reading:
    """What the arm said last: poses of the point between the fingertips, base frame; rad, rad/s, N, Nm; fingers f64[3] in the vendor's
    units; at: s on the steady clock, when the measured pose was read."""

    measured: Pose | None
    commanded: Pose | None
    fingers: np.ndarray
    joints: np.ndarray
    joint_velocities: np.ndarray
    force: np.ndarray | None
    torque: np.ndarray | None
    at: float


class Driver:
    """See the module's text. finger_closed: the vendor's units at closure 1; finger_speed: those units a second at most.

    counts: points sent; dropped (the thread was late by more than two), skipped (the arm's clock is slower than ours),
    overfull (the queue was erased), deepest (points that waited at most), errors, lost.
    """

    def __init__(self, link: Link, finger_closed: float, finger_speed: float):
        self._link, self._closed, self._finger_speed = link, finger_closed, finger_speed
        self.homing = ""
        self.counts = Counter(
            dict.fromkeys(("sent", "dropped", "skipped", "overfull", "deepest", "errors", "lost"), 0)
        )
        self._reading: Reading | None = None
        self._handed = threading.Condition()
        self._twists: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_LATE)
        self._grip: float | None = None
        self._grips = self._adopted = False
        self._ending, self._aborted = threading.Event(), threading.Event()
        self._thread = self._make_thread()
        self._alive = 0.0
        self._failures = self._skip = 0
        self._lost = self._broken = self._homing_failed = ""
        self._passing: dict[str, tuple[str, float]] = {}
        self._halted = False
        self._homing_since = 0.0
        self._rest = ("joints", "joint_velocities", "force", "waiting")
        self._next = 0

    # From other threads: nothing here waits for the arm, but `start` and, for a moment, `stop` and `end`

    def start(self) -> None:
        """Connects. Raises BackendError."""
        self._greet()
        self._thread.start()

    def end(self) -> None:
        """Leaves the arm at rest and lets go of it; does not wait for a library that does not come back."""
        if self.homing == "running":
            self.stop()
        self._ending.set()
        with self._handed:
            self._handed.notify()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        """One point of 10 ms, m/s and rad/s."""
        if not self._adopted:  # a thread inherits its scheduling: the loop's, which may be real-time, and not that of who connected
            self._adopted, self._thread = True, self._make_thread(self._thread)
            self._thread.start()
        with self._handed:
            self.counts["dropped"] += len(self._twists) == _LATE
            self._twists.append((linear, angular))
            self._handed.notify()

    def grip(self, closure: float) -> None:
        """0 open .. 1 closed; the fingers go there with the points that follow."""
        self._grip, self._grips = closure, True

    def hold(self) -> None:
        """The fingers stay where they are, until they are told again."""
        self._grip = None

    def stop(self) -> None:
        """Rest now; control is taken again with the next twist. While the arm homes, every call breaks in again."""
        homing = self.homing == "running"
        with self._handed:
            self._twists.clear()
            self._halted, self._grips = True, False
        self._aborted.set()
        if not self._lost:
            self._link.abort(0.0 if homing else _PATIENCE_S, barge=homing)

    def home(self) -> None:
        """Starts the arm's own homing in a thread: its MoveHome comes back when the arm is there, or never."""
        if self.homing == "needed" and not self._lost:
            self._aborted.clear()  # before it counts as running: a stop from now on is not forgotten
            self._homing_failed, self._homing_since, self.homing = "", time.monotonic(), "running"
            threading.Thread(target=self._home, name="kinova homing", daemon=True).start()

    def forget(self) -> None:
        """Forgets faults that have passed."""
        self._homing_failed = ""

    def reading(self) -> Reading:
        """The newest; without poses when it is older than 100 ms."""
        reading = self._reading
        return (
            reading
            if time.monotonic() - reading.at < _FRESH_S
            else replace(reading, measured=None, commanded=None)
        )

    def faults(self) -> list[str]:
        now = time.monotonic()
        found = [
            self._broken,
            self._homing_failed,
            *(text for text, at in tuple(self._passing.values()) if now - at < _TOLD_S),
        ]
        if self._lost:
            found.append(f"the arm is lost ({self._lost}): it is being looked for")
        if self.homing == "running" and (taken := now - self._homing_since) > _HOMING_S:
            found.append(
                f"{self._link.calling or 'homing'} has not come back for {taken:.0f} s: look after the arm, then start this node again"
            )
        silent = now - self._alive
        if silent > _SILENT_S and self.homing != "running" and not self._lost and not self._broken:
            found.append(
                f"the vendor's library has not come back from {self._link.calling or 'its thread'} for {silent:.1f} s"
            )
        return [fault for fault in found if fault]

    # The driver's thread

    def _make_thread(self, before: threading.Thread | None = None) -> threading.Thread:
        return threading.Thread(target=self._run, args=[before], name="kinova", daemon=True)

    def _run(self, before: threading.Thread | None) -> None:
        if before:
            before.join()
        while not self._ending.is_set():
            if self._broken or threading.current_thread() is not self._thread:
                return
            try:
                if self._lost:
                    self._search()
                    continue
                with self._handed:
                    self._handed.wait_for(lambda: self._twists or self._ending.is_set(), _IDLE_S)
                self._beat()
                self._failures = 0
            except SdkError as error:
                self._failed(error)
            except Exception as error:
                self._broken = f"the driver has ended ({type(error).__name__}: {error}): report this, and start this node again"
                break
        if not self._lost:
            self._link.abort(_PATIENCE_S, barge=False)
        self._link.close()

    def _beat(self) -> None:
        if not self._link.lock.acquire(timeout=_IDLE_S):  # homing has it
            if (
                self._aborted.is_set() and self.homing == "running"
            ):  # the stop came before what the arm began: once more
                self._link.abort(0.0, barge=True)
            return
        try:
            begun = time.monotonic()
            with (
                self._handed
            ):  # under the link's lock, so that nothing that was asked for before a stop is sent after it
                twist = self._twists.popleft() if self._twists else None
            if twist and not self.homing:
                self._send(*twist)
            self._look()
            while True:
                self._look_further(self._rest[self._next])
                self._next = (self._next + 1) % len(self._rest)
                if self._next == 0 or time.monotonic() - begun > _BUDGET_S:
                    break
            self._alive = time.monotonic()
        finally:
            self._link.lock.release()

    def _send(self, linear: np.ndarray, angular: np.ndarray) -> None:
        if self._halted:
            self._retake()
        if self._skip:
            self._skip -= 1
            self.counts["skipped"] += 1
            return
        if linear.any() or angular.any():
            self._grips = True
        pose, fingers, at = self._reading.measured, self._finger_velocity(), self._reading.fingers
        finite = np.isfinite(
            [linear, angular, fingers, at]
        ).all()  # a finger at infinity would have a finite velocity
        if not finite:
            self._pass(
                "point",
                f"a number is not finite, rest was sent: {linear} m/s, {angular} rad/s, fingers {fingers}/s at {at}",
            )
        if pose is None or not finite:  # without an orientation there is no frame to turn in
            self._link.send(_STILL, _STILL, np.array((0.0, 0.0, 0.0, 1.0)), _STILL)
        else:
            self._link.send(linear, angular, pose.quaternion, fingers)
        self.counts["sent"] += 1

    def _finger_velocity(self) -> np.ndarray:
        grip = self._grip
        if grip is None or not self._grips:
            return _STILL
        error = grip * self._closed - self._reading.fingers
        return np.where(
            np.abs(error) < _FINGER_NEAR,
            0.0,
            np.clip(_FINGER_GAIN * error, -self._finger_speed, self._finger_speed),
        )

    def _look(self) -> None:
        measured, fingers = self._link.pose()
        at = time.monotonic()
        commanded = self._link.commanded()
        self._reading = replace(
            self._reading, measured=_sound(measured), commanded=_sound(commanded), fingers=fingers, at=at
        )

    def _look_further(self, what: str) -> None:
        if what == "waiting":
            self._limit_queue(self._link.waiting())
        elif what == "force":
            force, torque = self._force()
            self._reading = replace(self._reading, force=force, torque=torque)
        else:
            self._reading = replace(self._reading, **{what: getattr(self._link, what)()})

    def _force(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        try:
            return self._link.force()
        except SdkError as error:
            if error.gone:
                raise
            return None, None  # an arm without torque sensors refuses, and is whole

    def _limit_queue(self, waiting: int) -> None:
        self.counts["deepest"] = max(self.counts["deepest"], waiting)
        self._skip = waiting - 1 if waiting > _QUEUE_GOOD else 0
        if waiting > QUEUE_MAX:
            self._link.erase()
            self._skip = 0
            self.counts["overfull"] += 1
            self._pass(
                "queue",
                f"{waiting} points waited in the arm and have been erased: another program commands it, or its clock is slow",
            )

    def _pass(self, what: str, fault: str) -> None:
        """A fault of this moment, told for long enough that no tick of the loop misses it."""
        self._passing[what] = fault, time.monotonic()

    # A lost arm

    def _failed(self, error: SdkError) -> None:
        self._failures += 1
        self.counts["errors"] += 1
        self._alive = time.monotonic()
        self._reading = replace(self._reading, measured=None, commanded=None)
        if error.gone or self._failures >= _FAILURES:
            self.counts["lost"] += 1
            self._lost = str(error)
            self._grips = (
                False  # a hand that comes back stays as it is until the arm moves again or it is told
            )

    def _search(self) -> None:
        delay, longest = _BACK_OFF_S
        while not self._ending.wait(delay):
            try:
                self._link.close()
                self._greet()
                return
            except BackendError as error:
                self._lost = str(error)
                delay = min(2 * delay, longest)

    def _greet(self) -> None:
        """Connects and reads everything once. Raises BackendError."""
        status = self._link.open()
        try:
            self._accept(status)
            measured, fingers = self._link.pose()
            at, commanded = time.monotonic(), self._link.commanded()
            joints, velocities, force = self._link.joints(), self._link.joint_velocities(), self._force()
            self._reading = Reading(
                _sound(measured), _sound(commanded), fingers, joints, velocities, *force, at
            )
        except SdkError as error:
            self._link.close()
            raise BackendError(str(error)) from error
        with self._handed:
            self._twists.clear()
            self._halted = False
        self._failures = self._skip = 0
        self._lost = ""
        self._alive = time.monotonic()

    def _accept(self, status: Status) -> None:
        ready = status.fingers and status.retract in (READY, NORMAL)
        if ready:
            self._link.cartesian()
        self.homing = "" if ready else "needed"

    # Homing, in a thread of its own

    def _home(self) -> None:
        try:
            self._unless_stopped(self._retake, self._link.move_home)
            self._await_ready()
            self._unless_stopped(self._link.init_fingers, self._link.cartesian)
        except Exception as error:
            self._homing_failed = (
                ""
                if self._aborted.is_set()
                else f"homing failed ({error}): call arm/clear_faults, then arm/home"
            )
            self._aborted.set()
        with self._handed:
            self._twists.clear()
        self._alive = time.monotonic()
        self.homing = "needed" if self._aborted.is_set() else ""

    def _unless_stopped(self, *steps) -> None:
        for step in steps:
            with self._link.lock:  # a stop may have come while this waited for its turn
                if not self._aborted.is_set():
                    step()

    def _retake(self) -> None:
        self._link.take_control()
        self._halted = False

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _HOMING_S
        while not self._aborted.is_set() and (retract := self._link.status().retract) != READY:
            if time.monotonic() > deadline:
                raise BackendError(
                    f"the arm is not at its home after {_HOMING_S:.0f} s (retract state {retract})"
                )
            self._aborted.wait(_POLL_S)


def _sound(pose: Pose) -> Pose | None:
    return pose if np.isfinite(pose.position).all() and np.isfinite(pose.quaternion).all() else None
