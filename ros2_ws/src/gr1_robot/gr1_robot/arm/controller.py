"""The arm's control loop step: backend, gate, homing, and the locks that make them safe to use from several
threads. ROS-free.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from gr1_common.conventions import BASE_FRAME, STOPPED
from gr1_core.rig import Rig
from gr1_robot.arm.backend import NO_LIMITS, ArmBackend, ArmError, ArmState
from gr1_robot.arm.gate import GRAVE, OPERATOR_LOST, Gate, Motion, usable
from gr1_robot.arm.homing import Homing
from gr1_robot.arm.operator_presence import OperatorPresence

DRIVER_TIMEOUT_S = 1.0
"""s: a driver that has not answered for so long counts as hanging."""
_STOP_PERIOD_S = 0.1
_SUSPEND_S = 0.5
HOMING_MESSAGES = {
    "needed": "the arm does not accept commands until it is homed: call arm/home",
    "running": "the arm homes itself",
}
"""`ArmBackend.homing` -> its text."""


def _boottime() -> float:
    """The steady clock that also runs while the computer sleeps, s; the plain one where there is none."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _set(event: threading.Event, value: bool) -> None:
    event.set() if value else event.clear()


class Snapshot(NamedTuple):
    """One tick: the state that the gate saw, the motion that it allowed, the arm's faults and
    `ArmBackend.homing`.
    """

    state: ArmState
    motion: Motion
    closure: float | None
    faults: Sequence[str]
    homing: str


class ArmController:
    """Everything that reaches the arm goes through here. While it is stopped: `no_motion` is set when the
    gate commands none, `at_rest` when the arm stands still too (`Gate.at_rest`) and does not home itself.

    `lock` is held around the backend, one call at a time. The gate has a lock of its own, held for
    microseconds: a driver that hangs delays neither the refusal of a command nor a stop.
    """

    def __init__(
        self,
        rig: Rig,
        backend: ArmBackend,
        armed: bool,
        clock: Callable[[], float] = time.monotonic,
        boottime: Callable[[], float] | None = None,
    ):
        self.backend, self.lock = backend, threading.RLock()
        vendor = backend.vendor_limits or NO_LIMITS
        self.gate = Gate(
            rig.limits, rig.period, armed, backend.joint_limits, vendor, backend.joint_speeds, backend.body
        )
        self._gate_lock = threading.Lock()
        self.no_motion, self.at_rest = threading.Event(), threading.Event()
        self._homing = Homing(rig.limits)
        self._operator = OperatorPresence(self.gate.expiry)
        self._clock, self._boottime = clock, boottime or (_boottime if clock is time.monotonic else clock)
        self._asleep: float | None = None  # s that the computer has slept since its start
        self._closure_sent: float | None = None
        self._gripper_held = True  # no gripper command is active that a stop would have to cancel
        self._gripper_source = ""
        self._lost_before = False
        self._stopped_at = -math.inf

    def step(self) -> Snapshot:
        """One 10 ms tick: read the state, ask the gate, command the motors."""
        with self.lock:
            backend = self.backend
            state, homing = backend.read_state(), backend.homing
            faults = backend.faults() or ([HOMING_MESSAGES[homing]] if homing else [])
            jacobian = backend.jacobian(state.joints) if np.isfinite(state.joints).all() else None
            with self._gate_lock:
                # Read the clock only now: the arm may have been slow to answer, and commands age meanwhile.
                now = self._clock()
                self._check_suspend(now)
                self._submit_homing(state, now)
                motion, closure = self.gate.tick(now, state, jacobian, faults), self.gate.closure
                motion = self._tell_lost_operator(motion, now)
                move_hand = self._choose_hand_motion(motion, closure)
            if motion.state == STOPPED or motion.source == "teleop":
                self._homing.cancel()
            if homing != "running" or motion.reason not in GRAVE:
                self._stopped_at = -math.inf
            elif now - self._stopped_at >= _STOP_PERIOD_S:
                # Repeated until the homing has ended: a single call may get lost.
                self._stopped_at = now
                backend.stop()
            backend.send_twist(motion.linear, motion.angular)
            move_hand()
            rests = motion.state == STOPPED and not motion.linear.any() and not motion.angular.any()
            _set(self.no_motion, rests)
            _set(self.at_rest, rests and self.gate.at_rest and homing != "running")
            return Snapshot(state, motion, closure, faults, homing)

    def _tell_lost_operator(self, motion: Motion, now: float) -> Motion:
        lost = self._operator.lost(now) and motion.state != STOPPED and not motion.source
        if lost and not self._lost_before:
            self.gate.counts[OPERATOR_LOST] += 1
        self._lost_before = lost
        return motion._replace(reason=OPERATOR_LOST) if lost else motion

    def _submit_homing(self, state: ArmState, now: float) -> None:
        homing = self._homing
        if homing.active and homing.overdue(now):
            homing.cancel()
            self.gate.stop(
                "homing_timeout", "the arm is not home in time: something holds it or is in its way"
            )
        if homing.active and usable(state.commanded) and (twist := homing.next_twist(state.commanded, now)):
            self.gate.submit_command("home", *twist, now)

    def _check_suspend(self, now: float) -> None:
        """Latches after the computer slept: the steady clock stood still, so old commands look fresh."""
        asleep = self._boottime() - now
        if self._asleep is not None and asleep - self._asleep > _SUSPEND_S:
            self.gate.discard_commands(now)
            self.gate.stop("loop_stalled", f"the computer slept for {asleep - self._asleep:.0f} s")
        self._asleep = asleep

    def _choose_hand_motion(self, motion: Motion, closure: float | None) -> Callable[[], None]:
        """What to call after the twist. With the gate's lock: commands for the hand come at any time."""
        if motion.state == STOPPED or motion.source != self._gripper_source:
            # Also when the source of the command has fallen silent, or another one is in charge.
            if not self._gripper_held:
                self._gripper_held, self._closure_sent = True, closure
                return self.backend.hold_gripper
        elif closure is not None and closure != self._closure_sent:
            self._closure_sent = closure
            return partial(self.backend.send_gripper, closure)
        return lambda: None

    # Commands and stops: these never wait for the driver

    def submit_command(
        self, source: str, linear, angular, sent: float, stamp: int | None = None, frame: str = BASE_FRAME
    ) -> str:
        """m/s, rad/s, s on the steady clock; stamp, frame: the message's. Returns "" or the gate's reason to
        refuse it.
        """
        with self._gate_lock:
            if source == "policy" and self._operator.present:
                # Refused now: it must not be in charge at the moment in which the person falls silent.
                self.gate.counts["not_in_charge"] += 1
                return "not_in_charge"
            refusal = self.gate.submit_command(source, linear, angular, sent, stamp, frame)
            if source == "teleop" and refusal in ("", "not_finite", "jump"):
                self._operator.on_command(sent)
                if self._operator.present:
                    # It may be valid for longer than the person's, and would then move the arm.
                    self.gate.drop_command("policy")
            return refusal

    def release(self, sent: float) -> None:
        """The person at teleoperation gives the arm back to the policy. sent: s on the steady clock."""
        with self._gate_lock:
            self._operator.release(sent)

    def slow_policy(self, slow: bool) -> None:
        """See Gate.slow_policy."""
        with self._gate_lock:
            self.gate.slow_policy(slow)

    def submit_gripper(self, source: str, closure: float, sent: float) -> str:
        """0 open .. 1 closed, s on the steady clock. Returns "" or the gate's reason to refuse it."""
        with self._gate_lock:
            if not (refusal := self.gate.submit_gripper(source, closure, sent)) and self._gripper_held:
                # Sent even if equal to the last command before the stop: the fingers may not have reached
                # that one.
                self._gripper_held, self._closure_sent = False, None
            if not refusal:
                self._gripper_source = source
            return refusal

    def stop(self, reason: str = "emergency_stop", detail: str = "") -> None:
        """Latches a stop; the next step brings the arm to rest, also an arm that homes itself."""
        with self._gate_lock:
            self.gate.stop(reason, detail)

    def reset(self) -> str:
        """A person releases a stop, and the hold after a lost operator. Returns "" or what forbids it."""
        with self._gate_lock:
            now = self._clock()
            if not (refusal := self.gate.reset(now)):
                self._operator.release(now)
            return refusal

    # Calls that need the driver: each raises ArmError if it does not answer within DRIVER_TIMEOUT_S

    def go_home(self) -> str:
        """Starts homing: through the gate, or by the arm's own controller where that comes first. "" or what
        forbids it.
        """
        with self._driver():
            latched, homing = self.gate.latched, self.backend.homing
            if latched in GRAVE or (latched and not homing):
                return f"the arm is stopped ({latched}): call arm/reset first"
            if homing == "needed":
                self.backend.start_homing()
            elif not homing:
                self._homing.start(self.backend.home_pose())
            return ""

    def clear_faults(self) -> None:
        """Requests a reset of faults whose cause is gone; the arm stays stopped until a reset."""
        with self._driver():
            self.backend.clear_faults()

    def set_option(self, option: str, value) -> None:
        """Sets a live option of the backend."""
        with self._driver():
            self.backend.set_option(option, value)

    def describe(self) -> str:
        """What is connected."""
        with self._driver():
            return self.backend.describe()

    def restart(self) -> None:
        """The arm was placed elsewhere (a new simulated scene): drops commands, the gripper's too, and a
        running homing.
        """
        with self.lock, self._gate_lock:
            self._homing.cancel()
            self.gate.discard_commands(now := self._clock())
            self._operator.release(now)
            self.gate.restart_timing()
            self.gate.closure = self._closure_sent = None
            self._gripper_held = True

    def halt(self) -> None:
        """The last resort when the loop itself has failed."""
        with self._driver():
            self.backend.stop()

    def close(self) -> str:
        """Brings the arm to rest and disconnects. Returns "" or what went wrong; a hanging driver is left
        after 3 timeouts.
        """
        trouble = ["the arm's driver does not answer: it is left as it is"]

        def work() -> None:
            mine = self.lock.acquire(timeout=DRIVER_TIMEOUT_S)
            try:
                try:
                    self.backend.stop()
                finally:
                    self.backend.close()
                trouble[0] = ""
            except Exception as error:
                trouble[0] = f"the arm's driver failed while it was closed: {error}"
            finally:
                if mine:
                    self.lock.release()

        thread = threading.Thread(target=work, name="closing", daemon=True)
        thread.start()
        thread.join(3 * DRIVER_TIMEOUT_S)
        return trouble[0]

    @contextmanager
    def _driver(self) -> Iterator[None]:
        if not self.lock.acquire(timeout=DRIVER_TIMEOUT_S):
            raise ArmError(f"the arm's driver has not answered for {DRIVER_TIMEOUT_S:g} s")
        try:
            yield
        finally:
            self.lock.release()
