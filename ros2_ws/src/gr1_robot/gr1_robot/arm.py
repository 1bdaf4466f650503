"""The arm as one object: backend, gate, homing and the lock that makes them safe to use from the node's threads. No ROS import."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from gr1_core.rig import Rig
from gr1_robot.backend import ArmState, Backend
from gr1_robot.gate import Gate, Motion
from gr1_robot.homing import Homing


class Snapshot(NamedTuple):
    """One tick: the state that the gate saw and the motion that it let through."""

    state: ArmState
    motion: Motion
    closure: float | None


class Arm:
    """Everything that happens to the arm goes through here, one call at a time. `at_rest` is set while it is stopped and still."""

    def __init__(self, rig: Rig, backend: Backend, armed: bool):
        self.backend = backend
        self.lock = threading.RLock()
        self.gate = Gate(rig.limits, rig.period, armed)
        self._homing = Homing(rig.limits)
        self.at_rest = threading.Event()
        self._sent: float | None = None

    def step(self, now: float) -> Snapshot:
        """One 10 ms tick at time `now` of the steady clock: state, gate, motors."""
        with self.lock:
            state = self.backend.state()
            measured, commanded = state.measured, state.commanded
            if self._homing.active and commanded is not None and (twist := self._homing.twist(commanded)):
                self.gate.command("home", *twist, now)
            motion = self.gate.tick(now, measured and measured.position, commanded and commanded.position, self.backend.faults())
            if motion.state == "stopped" or motion.source == "teleop":
                self._homing.cancel()
            self.backend.twist(motion.linear, motion.angular)
            if self.gate.closure != self._sent:
                self._sent = self.gate.closure
                self.backend.gripper(self._sent)
            if motion.state == "stopped" and not motion.linear.any() and not motion.angular.any():
                self.at_rest.set()
            else:
                self.at_rest.clear()
            return Snapshot(state, motion, self.gate.closure)

    def command(self, source: str, linear, angular, sent: float) -> str:
        """m/s, rad/s, s on the steady clock. Returns "" or the gate's reason to refuse it."""
        with self.lock:
            return self.gate.command(source, linear, angular, sent)

    def gripper(self, source: str, closure: float, sent: float) -> str:
        """0 open .. 1 closed, s on the steady clock. Returns "" or the gate's reason to refuse it."""
        with self.lock:
            return self.gate.gripper(source, closure, sent)

    def stop(self, reason: str = "emergency_stop") -> None:
        with self.lock:
            self.gate.stop(reason)

    def reset(self) -> str:
        """Returns "" or what forbids it."""
        with self.lock:
            return self.gate.reset(time.monotonic())

    def go_home(self) -> str:
        """Starts the way home; returns "" or what forbids it."""
        with self.lock:
            if self.gate.latched:
                return f"the arm is stopped ({self.gate.latched}): call arm/reset first"
            self._homing.start(self.backend.home())
            return ""

    def restart(self) -> None:
        """The arm was put elsewhere (a new simulated scene): forget commands, the gripper's too, and where the way led."""
        with self.lock:
            self._homing.cancel()
            self.gate.forget(time.monotonic())
            self.gate.closure = self._sent = None
