"""The gate: the only way to the motors. No ROS import; small enough to review in one sitting (docs/safety.md is its reference).

Commands come in at any rate from several sources; `tick`, called at 100 Hz, says what the motors get. Positions in m and velocities in
m/s and rad/s in the arm's base frame, times in s on the steady clock. Not thread-safe: the caller holds one lock around it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gr1_core.rig import Limits

TICK = 0.01
SOURCES = ("teleop", "home", "policy")
"""Who may command, the highest priority first. An emergency stop stands above all of them."""

MOVING, HOLDING, STOPPED = "moving", "holding", "stopped"

REFUSALS = ("not_finite", "jump", "old", "out_of_order", "stopped", "not_in_charge")
"""Why a command was refused."""
CUTS = ("speed", "workspace", "leash")
"""Why the motors get less than was asked for."""
HOLDS = ("no_command", "zero_command", "expired", "not_finite", "jump", "no_pose")
"""Why the arm holds its commanded pose although it may move."""
LATCHES = ("emergency_stop", "not_armed", "no_pose", "backend_fault", "shutting_down")
"""Why the arm is stopped until a person resets it."""

_JUMP = 5.0
_ZERO = np.zeros(3)
_ZERO.setflags(write=False)


class Motion(NamedTuple):
    """What the motors get for one tick: linear f64[3] m/s, angular f64[3] rad/s; the state, why, and who is in charge ("" = no one)."""

    linear: np.ndarray
    angular: np.ndarray
    state: str
    reason: str
    source: str


@dataclass(frozen=True)
class _Command:
    linear: np.ndarray
    angular: np.ndarray
    sent: float
    reason: str = ""  # not empty: refused, and so the arm rests while this command would have lived
    cut: bool = False


class Gate:
    """Decides what the motors get.

    control_period: s between two commands; a command lives 1.5 of them. armed: False starts latched, until `reset`.
    """

    def __init__(self, limits: Limits, control_period: float, armed: bool):
        self.limits = limits
        self.expiry = 1.5 * control_period
        self.counts = Counter({reason: 0 for reason in (*REFUSALS, *CUTS, *HOLDS, *LATCHES)})
        self.closure: float | None = None
        self._latch = "" if armed else "not_armed"
        self._commands: dict[str, _Command] = {}
        self._why = "no_command"
        self._faults: Sequence[str] = ("no measured pose yet",)
        self._now = -math.inf
        self._seen: float | None = None
        self._forgotten = -math.inf
        self._linear = self._angular = _ZERO
        self._last = ("", "")
        self._tau = max(limits.stop_time, TICK)
        self._low, self._high = np.array(limits.workspace_min), np.array(limits.workspace_max)

    @property
    def latched(self) -> str:
        """Why the arm is stopped until a reset, "" if it may move."""
        return self._latch

    # In: commands, stop, reset

    def command(self, source: str, linear, angular, sent: float) -> str:
        """One command, m/s and rad/s, and when it was sent. Returns "" or why it is refused; a broken one brings the arm to rest."""
        previous = self._commands.get(source) if source in SOURCES else _unknown(source)
        if self._latch:
            return self._refuse("stopped")
        if not sent > max(self._forgotten, previous.sent if previous else -math.inf):
            return self._refuse("out_of_order")
        if self._now - sent > self.expiry:
            return self._refuse("old")
        linear, angular = np.array(linear, np.float64), np.array(angular, np.float64)
        v, w = math.hypot(*linear), math.hypot(*angular)
        reason = ""
        if not (math.isfinite(v) and math.isfinite(w)):
            reason = "not_finite"
        elif v > _JUMP * self.limits.linear_speed or w > _JUMP * self.limits.angular_speed:
            reason = "jump"
        if reason:
            self._commands[source] = _Command(_ZERO, _ZERO, sent, reason)
            return self._refuse(reason)
        cut = v > self.limits.linear_speed or w > self.limits.angular_speed
        linear, angular = _limit(linear, self.limits.linear_speed), _limit(angular, self.limits.angular_speed)
        self._commands[source] = _Command(linear, angular, sent, cut=cut)
        return ""

    def gripper(self, source: str, closure: float, sent: float) -> str:
        """0 open .. 1 closed, kept in `closure`. Returns "" or the reason of its refusal."""
        if source not in SOURCES:
            _unknown(source)
        if self._latch:
            return self._refuse("stopped")
        if not math.isfinite(closure):
            return self._refuse("not_finite")
        if not self._now - sent <= self.expiry:
            return self._refuse("old")
        now = max(self._now, sent)
        in_charge = next((name for name in SOURCES if self._lives(name, now)), "")
        if source != in_charge or self._commands[source].reason:
            return self._refuse("not_in_charge")
        self.closure = min(max(float(closure), 0.0), 1.0)
        return ""

    def stop(self, reason: str = "emergency_stop") -> None:
        """Latches: the arm comes to rest within `stop_time` and stays until `reset`. The first reason is kept."""
        if not self._latch:
            self._latch = reason
            self.counts[reason] += 1

    def reset(self, now: float) -> str:
        """A person releases the latch. Returns "" or what forbids it."""
        if self._faults:
            return "; ".join(self._faults)
        self.forget(now)
        self._latch = ""
        return ""

    def forget(self, now: float) -> None:
        """Drops every command that was sent up to `now`, those that have not arrived yet as well."""
        self._commands.clear()
        self._why = "no_command"
        self._forgotten = now

    # Out: what the motors get

    def tick(self, now: float, measured, commanded, faults: Sequence[str] = ()) -> Motion:
        """The motion of the next 10 ms.

        measured, commanded: f64[3], where the fingertips are and where the motors have been asked to hold them; None when the
        arm does not say. faults: what the backend complains about; any of them latches a stop.
        """
        # Slowing down follows the clock, so that a late tick does not lengthen the stop; speeding up never makes up for lost time.
        elapsed = min(max(now - self._now, TICK), self._tau)
        self._now = now
        blind = not (_usable(measured) and _usable(commanded))
        if not blind or self._seen is None:
            self._seen = now
        self._faults = [*faults, *(["the arm reports no usable pose"] if blind else [])]
        if faults:
            self.stop("backend_fault")
        elif now - self._seen > self.expiry:
            self.stop("no_pose")

        source, command = self._in_charge(now)
        v, w, cut = command.linear, command.angular, "speed" if command.cut else ""
        if self._latch:
            v, w, reason = _ZERO, _ZERO, self._latch
        elif blind:
            v, w, reason = _ZERO, _ZERO, "no_pose"
        else:
            reason = command.reason or ("" if v.any() or w.any() else "zero_command")
        # The wish is contained so that no acceleration is spent against a wall, the ramp's result so that nothing passes it.
        v, contained = (v, "") if blind else self._contain(v, measured, commanded)
        v = self._ramp(self._linear, v, self.limits.linear_speed, self.limits.linear_acceleration, elapsed)
        w = self._ramp(self._angular, w, self.limits.angular_speed, self.limits.angular_acceleration, elapsed)
        v, contained_too = (v, "") if blind else self._contain(v, measured, commanded)
        cut = contained_too or contained or cut
        self._linear, self._angular = v, w

        state = STOPPED if self._latch else MOVING if not reason or v.any() or w.any() else HOLDING
        reason = reason or cut or "none"
        self._note(state, reason)
        return Motion(v, w, state, reason, "" if self._latch else source)

    def _in_charge(self, now: float) -> tuple[str, _Command]:
        for source in SOURCES:
            if self._lives(source, now):
                return source, self._commands[source]
            if self._commands.pop(source, None):
                self._why = "expired"
        return "", _Command(_ZERO, _ZERO, now, self._why)

    def _lives(self, source: str, now: float) -> bool:
        # A command from the future cannot be true and would never expire; a tick that lost a race may see one slightly later.
        return source in self._commands and -TICK <= now - self._commands[source].sent <= self.expiry

    def _ramp(self, before: np.ndarray, target: np.ndarray, speed: float, acceleration: float, elapsed: float) -> np.ndarray:
        """One step from `before` towards `target`: first what slows down, at speed / stop_time, then what speeds up."""
        fall = speed / self._tau * elapsed * (1 + 1e-9)
        square = before @ before
        kept = before * min(max(target @ before / square, 0.0), 1.0) if square > 0 else _ZERO
        slower, faster = kept - before, target - kept
        need = _norm(slower) / fall
        after = before + slower / max(need, 1.0)
        budget, gain = acceleration * TICK * max(1.0 - need, 0.0), _norm(faster)
        if gain > 0:
            after = after + faster * min(budget / gain, 1.0)
        return _limit(after, speed)

    def _contain(self, v: np.ndarray, measured: np.ndarray, commanded: np.ndarray) -> tuple[np.ndarray, str]:
        """Keeps the commanded position in the workspace and on the leash.

        A distance d to a wall allows d / stop_time towards it: an approach that fades out no harder than the ramp slows down.
        """
        inside = np.clip(v, -np.maximum(commanded - self._low, 0.0) / self._tau, np.maximum(self._high - commanded, 0.0) / self._tau)
        cut = "" if np.array_equal(inside, v) else "workspace"
        lead = commanded - measured
        length = _norm(lead)
        room = max(self.limits.leash - length, 0.0) / self._tau
        away = inside @ lead / length if length > 0 else 0.0
        # The whole motion slows, not only the part along the leash: an arm that cannot follow has met something.
        return (inside * (room / away), "leash") if away > room else (inside, cut)

    def _refuse(self, reason: str) -> str:
        self.counts[reason] += 1
        return reason

    def _note(self, state: str, reason: str) -> None:
        if (state, reason) != self._last and reason in (*CUTS, "no_command", "zero_command", "expired", "no_pose") and state != STOPPED:
            self.counts[reason] += 1
        self._last = (state, reason)


def _unknown(source: str):
    raise ValueError(f"unknown source of commands '{source}': known are {', '.join(SOURCES)}")


def _usable(position) -> bool:
    return position is not None and bool(np.isfinite(position).all())


def _norm(vector: np.ndarray) -> float:
    return math.sqrt(vector @ vector)


def _limit(vector: np.ndarray, length: float) -> np.ndarray:
    """The vector, shortened to `length` if it is longer."""
    norm = _norm(vector)
    return vector * (length / norm) if norm > length else vector
