"""The arm as one object: backend, gate, homing and the locks that make them safe to use from the node's threads. No ROS import."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from gr1_core.rig import Rig
from gr1_robot.arm.backend import ArmState, Backend, BackendError
from gr1_robot.arm.gate import FRAME, GRAVE, STOPPED, Gate, Motion
from gr1_robot.arm.homing import Homing

PATIENCE_S = 1.0
ABORT_EVERY_S = 0.1
HOMING = {
    "needed": "the arm does not take commands until it has been home: call arm/home",
    "running": "the arm moves home by itself",
}


class Snapshot(NamedTuple):
    """One tick: the state that the gate saw, the motion that it let through, what is wrong with the arm and its `Backend.homing`."""

    state: ArmState
    motion: Motion
    closure: float | None
    faults: Sequence[str]
    homing: str


class Arm:
    """Everything that happens to the arm goes through here. `at_rest` is set while it is stopped and still.

    `lock` is held around the backend, one call at a time. The gate has a lock of its own, held for microseconds: a driver that does
    not answer delays no command's refusal and no stop.
    """

    def __init__(self, rig: Rig, backend: Backend, armed: bool, clock: Callable[[], float] = time.monotonic):
        self.backend, self.lock = backend, threading.RLock()
        self.gate, self._gate_lock = (
            Gate(rig.limits, rig.period, armed, backend.joint_limits),
            threading.Lock(),
        )
        self.at_rest = threading.Event()
        self._homing = Homing(rig.limits)
        self._clock = clock
        self._sent: float | None = None
        self._hand_held = True  # nothing has been asked of the fingers that a stop would have to take back
        self._aborted_at = -math.inf

    def step(self) -> Snapshot:
        """One 10 ms tick: state, gate, motors."""
        with self.lock:
            backend = self.backend
            state, homing = backend.state(), backend.homing
            faults = backend.faults() or ([HOMING[homing]] if homing else [])
            jacobian = backend.jacobian(state.joints) if np.isfinite(state.joints).all() else None
            with self._gate_lock:
                # Not before: the arm may have taken its time to answer, and commands grow old meanwhile.
                now = self._clock()
                if (
                    self._homing.active
                    and state.commanded is not None
                    and (twist := self._homing.twist(state.commanded))
                ):
                    self.gate.command("home", *twist, now)
                motion, closure = self.gate.tick(now, state, jacobian, faults), self.gate.closure
            if motion.state == STOPPED or motion.source == "teleop":
                self._homing.cancel()
            if homing != "running" or motion.reason not in GRAVE:
                self._aborted_at = -math.inf
            elif now - self._aborted_at >= ABORT_EVERY_S:
                # Again and again until it has ended: one call may be lost on its way.
                self._aborted_at = now
                backend.stop()
            backend.twist(motion.linear, motion.angular)
            self._move_hand(motion, closure)
            if motion.state == STOPPED and not motion.linear.any() and not motion.angular.any():
                self.at_rest.set()
            else:
                self.at_rest.clear()
            return Snapshot(state, motion, closure, faults, homing)

    def _move_hand(self, motion: Motion, closure: float | None) -> None:
        if motion.state == STOPPED:
            if not self._hand_held:
                self._hand_held, self._sent = True, closure
                self.backend.hold_gripper()
        elif closure != self._sent:
            self._sent = closure
            self.backend.gripper(closure)

    # Commands and stops: these wait for nothing

    def command(
        self, source: str, linear, angular, sent: float, stamp: int | None = None, frame: str = FRAME
    ) -> str:
        """m/s, rad/s, s on the steady clock; stamp, frame: the message's. Returns "" or the gate's reason to refuse it."""
        with self._gate_lock:
            return self.gate.command(source, linear, angular, sent, stamp, frame)

    def gripper(self, source: str, closure: float, sent: float) -> str:
        """0 open .. 1 closed, s on the steady clock. Returns "" or the gate's reason to refuse it."""
        with self._gate_lock:
            if not (refusal := self.gate.gripper(source, closure, sent)) and self._hand_held:
                # Also a command that is equal to the last one before the stop: the fingers did not reach it.
                self._hand_held, self._sent = False, None
            return refusal

    def stop(self, reason: str = "emergency_stop") -> None:
        """Latches a stop; the next step brings the arm to rest, also one that its own controller moves home."""
        with self._gate_lock:
            self.gate.stop(reason)

    def reset(self) -> str:
        """Returns "" or what forbids it."""
        with self._gate_lock:
            return self.gate.reset(self._clock())

    # What needs the driver: each raises BackendError if it does not answer within PATIENCE_S

    def go_home(self) -> str:
        """Starts the way home, through the gate or, where the arm needs that first, by its own controller; "" or what forbids it."""
        with self._driver():
            latched, homing = self.gate.latched, self.backend.homing
            if latched in GRAVE or (latched and not homing):
                return f"the arm is stopped ({latched}): call arm/reset first"
            if homing == "needed":
                self.backend.start_homing()
            elif not homing:
                self._homing.start(self.backend.home())
            return ""

    def clear_faults(self) -> None:
        """Asks the arm to forget faults that have passed; it stays stopped until a reset."""
        with self._driver():
            self.backend.clear_faults()

    def set(self, option: str, value) -> None:
        """A live option of the backend."""
        with self._driver():
            self.backend.set(option, value)

    def describe(self) -> str:
        """What is connected."""
        with self._driver():
            return self.backend.describe()

    def restart(self) -> None:
        """The arm was put elsewhere (a new simulated scene): forget commands, the gripper's too, and where the way led."""
        with self.lock, self._gate_lock:
            self._homing.cancel()
            self.gate.forget(self._clock())
            self.gate.excuse()
            self.gate.closure = self._sent = None
            self._hand_held = True

    def halt(self) -> None:
        """The last resort when the loop itself has failed."""
        with self._driver():
            self.backend.stop()

    def close(self) -> str:
        """Rest, and let go of the arm. Returns "" or what went wrong; a driver that hangs is left behind after 3 * PATIENCE_S."""
        trouble = ["the arm's driver does not answer: it is left as it is"]

        def work() -> None:
            mine = self.lock.acquire(timeout=PATIENCE_S)
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
        thread.join(3 * PATIENCE_S)
        return trouble[0]

    @contextmanager
    def _driver(self) -> Iterator[None]:
        if not self.lock.acquire(timeout=PATIENCE_S):
            raise BackendError(f"the arm's driver has not answered for {PATIENCE_S:g} s")
        try:
            yield
        finally:
            self.lock.release()
