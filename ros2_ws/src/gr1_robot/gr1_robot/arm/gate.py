"""The gate: the only way to the motors. No ROS import; small enough to review in one sitting (docs/explanation/safety.md is its reference).

Commands come in at any rate from several sources; `tick`, called at 100 Hz, says what the motors get. Positions in m and velocities in
m/s and rad/s in the arm's base frame, joints in rad, times in s on the steady clock. Not thread-safe: the caller holds one lock around it.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gr1_core.rig import Limits
from gr1_robot.arm.backend import ArmState, Pose
from gr1_robot.arm.motion_limits import Surroundings

TICK = 0.01
FRAME = "base_link"
SOURCES = ("teleop", "home", "policy")
"""Who may command, the highest priority first. An emergency stop stands above all of them."""

MOVING, HOLDING, STOPPED = "moving", "holding", "stopped"

REFUSALS = ("frame", "not_finite", "jump", "old", "out_of_order", "stopped", "not_in_charge")
"""Why a command was refused."""
CUTS = ("speed", "workspace", "leash", "joint_limit")
"""Why the motors get less than was asked for."""
HOLDS = ("no_command", "zero_command", "expired", "not_finite", "jump", "no_pose")
"""Why the arm holds its commanded pose although it may move."""
LATCHES = (
    "emergency_stop",
    "force",
    "loop_stalled",
    "not_armed",
    "no_pose",
    "backend_fault",
    "shutting_down",
)
"""Why the arm is stopped until a person resets it."""
GRAVE = {"loop_stalled": 1, "force": 2, "emergency_stop": 3}
"""Those that replace a reason of less weight, and that end an arm's own homing."""

_JUMP = 5.0
_STALL_S = 0.5
_BACK_OFF = 1.2
_PARTS = slice(0, 3), slice(3, 6)
_ZERO = np.zeros(6)
_ZERO.setflags(write=False)


class Motion(NamedTuple):
    """What the motors get for one tick: linear f64[3] m/s, angular f64[3] rad/s; the state, why, who is in charge ("" = no one).

    detail: the reason in words where there is more to say (which joint, how many N), else "".
    """

    linear: np.ndarray
    angular: np.ndarray
    state: str
    reason: str
    source: str
    detail: str


@dataclass(frozen=True)
class _Command:
    twist: np.ndarray
    sent: float
    stamp: int | None = None
    reason: str = ""  # not empty: refused, and so the arm rests while this command would have lived
    cut: bool = False


class Gate:
    """Decides what the motors get.

    control_period: s between two commands; a command lives 1.5 of them. armed: False starts latched, until `reset`.
    joint_limits: f64[n, 2] rad, infinite for a joint that turns without end.
    """

    def __init__(self, limits: Limits, control_period: float, armed: bool, joint_limits: np.ndarray):
        self.limits = limits
        self.expiry = 1.5 * control_period
        self.counts = Counter({reason: 0 for reason in (*REFUSALS, *CUTS, *HOLDS, *LATCHES)})
        self.closure: float | None = None
        self._latch, self._detail = "" if armed else "not_armed", ""
        self._commands: dict[str, _Command] = {}
        self._why = "no_command"
        self._faults: Sequence[str] = ("no measured pose yet",)
        self._now = -math.inf
        self._seen: float | None = None
        self._forgotten = -math.inf
        self._twist = _ZERO
        self._sent: deque[tuple[float, np.ndarray]] = deque(maxlen=math.ceil(self.expiry / TICK) + 2)
        self._last = ("", "")
        self._force, self._bearable = 0.0, limits.force
        self._tau = max(limits.stop_time, TICK)
        self._surroundings = Surroundings(limits, joint_limits, self._tau)

    @property
    def latched(self) -> str:
        """Why the arm is stopped until a reset, "" if it may move."""
        return self._latch

    # In: commands, stop, reset

    def command(
        self, source: str, linear, angular, sent: float, stamp: int | None = None, frame: str = FRAME
    ) -> str:
        """One command, m/s and rad/s, and when it was sent. Returns "" or why it is refused; a broken one brings the arm to rest.

        stamp: what grows from each command of a source to its next, such as the sender's clock; None where there is none.
        frame: what the twist is expressed in; there is only one that is right, and "" is taken for it.
        """
        known = self._commands.get(source) if source in SOURCES else _unknown(source)
        if self._latch:
            return self._refuse("stopped")
        if frame not in (FRAME, ""):
            return self._refuse("frame")
        if not self._now - sent <= self.expiry:
            return self._refuse("old")
        if not sent > max(self._forgotten, known.sent if known else -math.inf):
            return self._refuse("out_of_order")
        if known and None not in (stamp, known.stamp) and stamp <= known.stamp:
            return self._refuse("out_of_order")
        linear, angular = np.array(linear, np.float64), np.array(angular, np.float64)
        v, w = math.hypot(*linear), math.hypot(*angular)
        reason = ""
        if not (math.isfinite(v) and math.isfinite(w)):
            reason = "not_finite"
        elif v > _JUMP * self.limits.linear_speed or w > _JUMP * self.limits.angular_speed:
            reason = "jump"
        if reason:
            self._commands[source] = _Command(_ZERO, sent, stamp, reason)
            return self._refuse(reason)
        cut = v > self.limits.linear_speed or w > self.limits.angular_speed
        self._commands[source] = _Command(
            self._limited_speed(np.concatenate([linear, angular])), sent, stamp, cut=cut
        )
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

    def stop(self, reason: str = "emergency_stop", detail: str = "") -> None:
        """Latches: the arm comes to rest within `stop_time` and stays until `reset`. The first reason is kept, unless this is graver."""
        if not self._latch or GRAVE.get(reason, 0) > GRAVE.get(self._latch, 0):
            self._latch, self._detail = reason, detail
            self.counts[reason] += 1

    def reset(self, now: float) -> str:
        """A person releases the latch. Returns "" or what forbids it; then a grave latch is taken back, and the arm is not armed."""
        if self._faults:
            if self._latch in GRAVE:
                self._latch, self._detail = "not_armed", ""
            return "; ".join(self._faults)
        self.forget(now)
        self._latch = self._detail = ""
        # A hand that still presses against something must be able to back off, not to press harder.
        self._bearable = max(self.limits.force, _BACK_OFF * self._force)
        return ""

    def forget(self, now: float) -> None:
        """Drops every command that was sent up to `now`, those that have not arrived yet as well."""
        self._commands.clear()
        self._why = "no_command"
        self._forgotten = now

    def excuse(self) -> None:
        """The next tick comes late on purpose (a new scene was laid): the loop has not stalled."""
        self._now = -math.inf

    # Out: what the motors get

    def tick(
        self, now: float, state: ArmState, jacobian: np.ndarray | None = None, faults: Sequence[str] = ()
    ) -> Motion:
        """The motion of the next 10 ms.

        state: what the arm says of itself. jacobian: f64[6, n] at its joints; an arm with joint limits needs it.
        faults: what the backend complains about; any of them latches a stop.
        """
        # Slowing down follows the clock, so that a late tick does not lengthen the stop; speeding up never makes up for lost time.
        gap = now - self._now
        elapsed = min(max(gap, TICK), self._tau)
        self._now = now
        if _STALL_S < gap < math.inf:
            self.stop("loop_stalled", f"the loop stood still for {gap:.1f} s")
        faults = [*faults, *self._feel(state.force)]
        missing = self._missing(now, state, jacobian)
        if not missing or self._seen is None:
            self._seen = min(now, state.at) if not missing else now
        self._faults = [*faults, missing] if missing else faults
        if faults:
            self.stop("backend_fault", "; ".join(faults))
        elif now - self._seen > self.expiry:
            self.stop("no_pose", missing)

        source, command = self._in_charge(now)
        if self._latch:
            wish, reason, detail = _ZERO, self._latch, self._detail
        elif missing:
            wish, reason, detail = _ZERO, "no_pose", missing
        else:
            wish, reason, detail = (
                command.twist,
                command.reason or ("" if command.twist.any() else "zero_command"),
                "",
            )
        cut = ("speed", "") if command.cut else ("", "")
        # The wish is contained so that no acceleration is spent against a wall, the ramp's result so that nothing passes it.
        if missing:
            after = self._ramp(wish, elapsed)
        else:
            room = self._surroundings.room(state, jacobian, self._ahead(state.at))
            wish, contained = room.contain(wish)
            after, contained_too = room.approach(
                self._twist * (1.0 - elapsed / self._tau), self._ramp(wish, elapsed)
            )
            cut = contained_too or contained or cut
        self._twist = after
        self._sent.append((now, after))

        mode = STOPPED if self._latch else MOVING if not reason or after.any() else HOLDING
        if not reason:
            reason, detail = cut if cut[0] else ("none", "")
        self._note(mode, reason)
        return Motion(after[:3], after[3:], mode, reason, "" if self._latch else source, detail)

    def _in_charge(self, now: float) -> tuple[str, _Command]:
        for source in [name for name in self._commands if not self._lives(name, now)]:
            del self._commands[source]
            self._why = "expired"
        source = next((name for name in SOURCES if name in self._commands), "")
        return source, self._commands.get(source) or _Command(_ZERO, now, reason=self._why)

    def _lives(self, source: str, now: float) -> bool:
        # A command from the future cannot be true and would never expire; a tick that lost a race may see one slightly later.
        return source in self._commands and -TICK <= now - self._commands[source].sent <= self.expiry

    def _feel(self, force: np.ndarray | None) -> list[str]:
        """Latches if the hand presses too hard; a force that is not a number is a fault of the arm."""
        force = (0.0, 0.0, 0.0) if force is None else force
        if not np.isfinite(force).all():
            return [f"the arm reports a force that is not finite: {force}"]
        self._force = math.hypot(*force)
        if self._force <= self.limits.force:
            self._bearable = self.limits.force
        elif self._force > self._bearable:
            self.stop("force", f"{self._force:.0f} N on the hand, allowed are {self.limits.force:g} N")
        return []

    def _missing(self, now: float, state: ArmState, jacobian: np.ndarray | None) -> str:
        """What the arm does not say of itself although the rules need it; "" if it says all."""
        if not (_usable(state.measured) and _usable(state.commanded)):
            return "the arm reports no usable pose"
        if not abs(now - state.at) <= self.expiry:
            return f"the arm's newest state is {now - state.at:.2f} s old"
        if self._surroundings.need_joints and (
            jacobian is None or not (np.isfinite(state.joints).all() and np.isfinite(jacobian).all())
        ):
            return "the arm reports no usable joint angles"
        return ""

    def _ahead(self, at: float) -> np.ndarray:
        """f64[6] m and rad: what has been sent since `at`, and so is not yet in the commanded pose of that time."""
        return sum(
            (min(sent + TICK - at, TICK) * twist for sent, twist in self._sent if sent + TICK > at), _ZERO
        )

    def _ramp(self, target: np.ndarray, elapsed: float) -> np.ndarray:
        """One step towards `target`: first what slows down, at speed / stop_time, then what speeds up.

        Both halves of the twist share the step, so that a braking arm stays on its path.
        """
        before, limits = self._twist, self.limits
        fall = elapsed / self._tau * (1 + 1e-9)
        kept = np.concatenate([_along(before[part], target[part]) for part in _PARTS])
        slower, faster = kept - before, target - kept
        need = max(
            _norm(slower[:3]) / (fall * limits.linear_speed),
            _norm(slower[3:]) / (fall * limits.angular_speed),
        )
        after = before + slower / max(need, 1.0)
        budget = TICK * max(1.0 - need, 0.0)
        for part, acceleration in zip(_PARTS, (limits.linear_acceleration, limits.angular_acceleration)):
            gain = _norm(faster[part])
            if gain > 0:
                after[part] += faster[part] * min(budget * acceleration / gain, 1.0)
        return self._limited_speed(after)

    def _limited_speed(self, twist: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [_limit(twist[:3], self.limits.linear_speed), _limit(twist[3:], self.limits.angular_speed)]
        )

    def _refuse(self, reason: str) -> str:
        self.counts[reason] += 1
        return reason

    def _note(self, state: str, reason: str) -> None:
        if (
            (state, reason) != self._last
            and reason in (*CUTS, "no_command", "zero_command", "expired", "no_pose")
            and state != STOPPED
        ):
            self.counts[reason] += 1
        self._last = (state, reason)


def _unknown(source: str):
    raise ValueError(f"unknown source of commands '{source}': known are {', '.join(SOURCES)}")


def _usable(pose: Pose | None) -> bool:
    return (
        pose is not None
        and bool(np.isfinite(pose.position).all())
        and abs(math.hypot(*pose.quaternion) - 1.0) < 0.01
    )


def _norm(vector: np.ndarray) -> float:
    return math.sqrt(vector @ vector)


def _along(before: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What of `before` may stay on the way to `target`: its length along it, no more than there is."""
    square = before @ before
    return before * min(max(target @ before / square, 0.0), 1.0) if square > 0 else before


def _limit(vector: np.ndarray, length: float) -> np.ndarray:
    """The vector, shortened to `length` if it is longer."""
    norm = _norm(vector)
    return vector * (length / norm) if norm > length else vector
