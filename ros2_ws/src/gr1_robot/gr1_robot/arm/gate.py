"""The gate: every commanded motion passes it. ROS-free; short enough to review in one reading (reference:
docs/explanation/safety.md, with what acts on the motors without it).

Commands arrive at any rate from several sources. `tick`, called at 100 Hz, returns what the motors get.
Positions in m, velocities in m/s and rad/s, in the arm's base frame; joints in rad; times in s on the steady
clock. Not thread-safe: the caller holds one lock around it.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gr1_common.conventions import BASE_FRAME, HOLDING, MOVING, STOPPED, TICK
from gr1_core.pose import Pose
from gr1_core.rig import Limits
from gr1_robot.arm.backend import NO_LIMITS, ArmLimits, ArmState
from gr1_robot.arm.capsules import Body
from gr1_robot.arm.contact import ContactForce
from gr1_robot.arm.motion_limits import MotionLimiter
from gr1_robot.arm.obedience import Obedience
from gr1_robot.arm.ramp import Ramp, limit_speed

SOURCES = ("teleop", "home", "policy")
"""Who may command, highest priority first. An emergency stop has priority over all of them."""

REFUSALS = ("frame", "not_finite", "jump", "old", "out_of_order", "stopped", "not_in_charge")
"""Why a command was refused."""
REDUCTIONS = (
    "speed",
    "workspace",
    "following_error",
    "joint_limit",
    "joint_speed",
    "tilt",
    "table",
    "obstacle",
    "self_collision",
    "contact",
    "prediction",
)
"""Why the motors get less than the command."""
SLOW_SHARE = 0.5
"""Share of the policy's twist that is carried out while it is slowed (`Gate.slow_policy`)."""
OPERATOR_LOST = "operator_lost"
HOLDS = ("no_command", "zero_command", "expired", OPERATOR_LOST, "not_finite", "jump", "no_pose", "contact")
"""Why the arm holds its commanded pose although it may move."""
LATCHES = (
    "emergency_stop",
    "force",
    "stuck",
    "ignored",
    "homing_timeout",
    "loop_stalled",
    "not_armed",
    "no_pose",
    "backend_fault",
    "shutting_down",
)
"""Why the arm is stopped until a person resets it."""
GRAVE = {"shutting_down": 1, "loop_stalled": 2, "force": 3, "emergency_stop": 4}
"""Latches that replace one of lower weight, and that end the arm's own homing."""

_JUMP = 5.0  # times the speed limit: a command beyond this is an error, not a wish
_STALL_S = 0.5
_STUCK_S = 1.5
_BACK_OFF_SOURCES = ("teleop", "home")
_ZERO = np.zeros(6)
_ZERO.setflags(write=False)


class Motion(NamedTuple):
    """What the motors get for one tick: linear f64[3] m/s, angular f64[3] rad/s; state, reason, source ("":
    none).

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
    reason: str = (
        ""  # not empty: refused, and the arm rests for as long as this command would have been valid
    )
    reduced: bool = False


class Gate:
    """Decides what the motors get.

    control_period: s between two commands; a command is valid for 1.5 periods. armed: False starts latched,
    until `reset`. joint_limits: f64[n, 2] rad, infinite for a continuous joint. vendor: how hard the arm can
    brake. joint_speeds: f64[n] rad/s, None: not limited. body: the arm's parts, None: they are not watched.
    """

    def __init__(
        self,
        limits: Limits,
        control_period: float,
        armed: bool,
        joint_limits: np.ndarray,
        vendor: ArmLimits = NO_LIMITS,
        joint_speeds: np.ndarray | None = None,
        body: Body | None = None,
    ):
        self.limits = limits
        self.expiry = 1.5 * control_period
        self.counts = Counter({reason: 0 for reason in (*REFUSALS, *REDUCTIONS, *HOLDS, *LATCHES)})
        self.closure: float | None = None
        self._latch, self._detail = "" if armed else "not_armed", ""
        self._policy_is_slow = False
        self._commands: dict[str, _Command] = {}
        self._idle_reason = "no_command"
        self._faults: Sequence[str] = ("no measured pose yet",)
        self._now = -math.inf
        self._state_seen: float | None = None
        self._discarded_until = -math.inf
        self._sent: deque[tuple[float, np.ndarray]] = deque(maxlen=math.ceil(self.expiry / TICK) + 2)
        self._last_counted = ("", "")
        self._contact = ContactForce(limits.force, self.expiry)
        self._followed_at: float | None = None
        self._stop_time = max(limits.stop_time, TICK)
        self._limiter = MotionLimiter(limits, joint_limits, self._stop_time, vendor, joint_speeds, body)
        self._obedience = Obedience()
        self._ramp = Ramp(limits, self._stop_time, vendor)

    @property
    def latched(self) -> str:
        """Why the arm is stopped until a reset; "" if it may move."""
        return self._latch

    @property
    def at_rest(self) -> bool:
        """Whether the arm stands still, by what was sent and how hard its vendor says it brakes."""
        return self._ramp.at_rest

    # Inputs: commands, stop, reset

    def submit_command(
        self, source: str, linear, angular, sent: float, stamp: int | None = None, frame: str = BASE_FRAME
    ) -> str:
        """One command, m/s and rad/s, and when it was sent. Returns "" or the reason of its refusal.

        A command that is not finite or far too fast is refused and also brings the arm to rest.
        stamp: grows from each command of a source to its next, such as the sender's clock; None where there
        is none. frame: what the twist is expressed in: the base frame, or "" for it.
        """
        known = self._commands.get(source) if source in SOURCES else _refuse_source(source)
        if self._latch:
            return self._refuse("stopped")
        if frame not in (BASE_FRAME, ""):
            return self._refuse("frame")
        if not self._now - sent <= self.expiry:
            return self._refuse("old")
        if not sent > max(self._discarded_until, known.sent if known else -math.inf):
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
        reduced = v > self.limits.linear_speed or w > self.limits.angular_speed
        self._commands[source] = _Command(
            limit_speed(np.concatenate([linear, angular]), self.limits), sent, stamp, reduced=reduced
        )
        return ""

    def submit_gripper(self, source: str, closure: float, sent: float) -> str:
        """0 open .. 1 closed, kept in `closure`. Returns "" or the reason of its refusal."""
        if source not in SOURCES:
            _refuse_source(source)
        if self._latch:
            return self._refuse("stopped")
        if not math.isfinite(closure):
            return self._refuse("not_finite")
        if not self._now - sent <= self.expiry:
            return self._refuse("old")
        if not sent > self._discarded_until:
            return self._refuse("out_of_order")
        now = max(self._now, sent)
        in_charge = next((name for name in SOURCES if self._is_valid(name, now)), "")
        if source != in_charge or self._commands[source].reason:
            return self._refuse("not_in_charge")
        self.closure = min(max(float(closure), 0.0), 1.0)
        return ""

    def stop(self, reason: str = "emergency_stop", detail: str = "") -> None:
        """Latches: the arm comes to rest within `stop_time` and stays until `reset`. The first reason stays
        unless this one is graver.
        """
        if not self._latch or GRAVE.get(reason, 0) > GRAVE.get(self._latch, 0):
            self._latch, self._detail = reason, detail
            self.counts[reason] += 1

    def reset(self, now: float) -> str:
        """A person releases the latch. Returns "" or what forbids it; then a grave latch becomes
        "not_armed".
        """
        if refusal := "; ".join(self._faults) or self._contact.allow_back_off():
            if self._latch in GRAVE:
                self._latch, self._detail = "not_armed", ""
            return refusal
        self.discard_commands(now)
        self.closure = None  # what was commanded before the stop is not resumed
        self._latch = self._detail = ""
        return ""

    def discard_commands(self, now: float) -> None:
        """Drops every command that was sent up to `now`, also those that arrive later."""
        self._commands.clear()
        self._idle_reason = "no_command"
        self._discarded_until = now

    def drop_command(self, source: str) -> None:
        """The source has lost its turn to another one for good: its last command is over."""
        self._commands.pop(source, None)

    def slow_policy(self, slow: bool) -> None:
        """True: only SLOW_SHARE of the policy's twists is carried out, until False. No reset ends it."""
        self._policy_is_slow = slow

    def restart_timing(self) -> None:
        """The next tick is late on purpose (a new scene): the loop has not stalled."""
        self._now = -math.inf
        self._obedience.restart()

    # Output: what the motors get

    def tick(
        self,
        now: float,
        state: ArmState,
        jacobian: np.ndarray | None = None,
        faults: Sequence[str] = (),
    ) -> Motion:
        """The motion of the next 10 ms.

        state: what the arm reports. jacobian: f64[6, n] at its joints; an arm with joint limits or a body
        needs it. faults: what the backend reports; any of them latches a stop.
        """
        # Braking follows the clock: a late tick must not lengthen the stop. Acceleration never makes up for
        # lost time.
        gap = now - self._now
        elapsed = min(max(gap, TICK), self._stop_time)
        self._now = now
        if _STALL_S < gap < math.inf:
            self.stop("loop_stalled", f"the loop stood still for {gap:.1f} s")
        of_force, too_hard = self._contact.update(now, state.force)
        if too_hard:
            self.stop("force", too_hard)
        faults = [*faults, *of_force]
        missing = self._missing(now, state, jacobian)
        if not missing or self._state_seen is None:
            self._state_seen = min(now, state.at) if not missing else now
        self._faults = [*faults, missing] if missing else faults
        if faults:
            self.stop("backend_fault", "; ".join(faults))
        elif now - self._state_seen > self.expiry:
            self.stop("no_pose", missing)

        if missing or self._latch:
            self._obedience.restart()
        elif self._obedience.ignores(state.at, state.commanded):
            self.stop("ignored", "its commanded pose does not move as it was sent")

        source, command = self._choose_command(now)
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
        reduction = ("speed", "") if command.reduced else ("", "")
        if self._policy_is_slow and source == "policy" and not reason:
            wish, reduction = SLOW_SHARE * wish, ("prediction", "")
        if not reason and self._contact.pressing:
            allowed = self._contact.away(wish) if source in _BACK_OFF_SOURCES else _ZERO
            if not allowed.any():
                reason = "contact"
            elif (allowed != wish).any():
                reduction = ("contact", "")
            wish = allowed
        # The wish is limited so that no acceleration is spent against a wall; the ramp's result, so that
        # nothing passes a limit.
        ramp, hard = self._ramp, bool(reason)
        if missing:
            self._followed_at = now
            after = ramp.towards(wish, elapsed, hard)
        else:
            limits = self._limiter.limits_at(state, jacobian, self._sent_since(state.at), ramp.sent())
            wish, of_wish = limits.limit_request(wish)
            after, of_ramp = limits.limit_ramp(ramp.brake(elapsed, hard), ramp.towards(wish, elapsed, hard))
            reduction = of_ramp or of_wish or reduction
            self._check_following(now, limits.beyond or reduction[0] == "following_error")
        ramp.take(after, elapsed)
        self._obedience.take(after)
        self._sent.append((now, after))

        mode = STOPPED if self._latch else MOVING if not reason or after.any() else HOLDING
        if not reason:
            reason, detail = reduction if reduction[0] else ("none", "")
        self._count(mode, reason)
        return Motion(after[:3], after[3:], mode, reason, "" if self._latch else source, detail)

    def _choose_command(self, now: float) -> tuple[str, _Command]:
        for source in [name for name in self._commands if not self._is_valid(name, now)]:
            del self._commands[source]
            self._idle_reason = "expired"
        source = next((name for name in SOURCES if name in self._commands), "")
        return source, self._commands.get(source) or _Command(_ZERO, now, reason=self._idle_reason)

    def _is_valid(self, source: str, now: float) -> bool:
        # A command from the future cannot be true and would never expire. A tick that lost a race may see one
        # slightly later.
        return source in self._commands and -TICK <= now - self._commands[source].sent <= self.expiry

    def _check_following(self, now: float, behind: bool) -> None:
        """Latches if the arm has not followed for `_STUCK_S`."""
        if not behind or self._latch or self._followed_at is None:
            self._followed_at = now
        elif now - self._followed_at > _STUCK_S:
            self.stop("stuck", f"the arm has not followed for {_STUCK_S:g} s")

    def _missing(self, now: float, state: ArmState, jacobian: np.ndarray | None) -> str:
        """What the rules need and the arm does not report; "" if it reports all."""
        if not (usable(state.measured) and usable(state.commanded)):
            return "the arm reports no usable pose"
        if not abs(now - state.at) <= self.expiry:
            return f"the arm's newest state is {now - state.at:.2f} s old"
        if self._limiter.needs_joints and (
            jacobian is None or not (np.isfinite(state.joints).all() and np.isfinite(jacobian).all())
        ):
            return "the arm reports no usable joint angles"
        return ""

    def _sent_since(self, at: float) -> np.ndarray:
        """f64[6] m and rad: motion sent since `at`, which the commanded pose of that time does not contain
        yet.
        """
        return sum(
            (min(sent + TICK - at, TICK) * twist for sent, twist in self._sent if sent + TICK > at), _ZERO
        )

    def _refuse(self, reason: str) -> str:
        self.counts[reason] += 1
        return reason

    def _count(self, state: str, reason: str) -> None:
        if (
            (state, reason) != self._last_counted
            and reason in (*REDUCTIONS, "no_command", "zero_command", "expired", "no_pose")
            and state != STOPPED
        ):
            self.counts[reason] += 1
        self._last_counted = (state, reason)


def _refuse_source(source: str):
    raise ValueError(f"unknown source of commands '{source}': known are {', '.join(SOURCES)}")


def usable(pose: Pose | None) -> bool:
    """Whether it is one: numbers, and a quaternion of length 1."""
    return (
        pose is not None
        and bool(np.isfinite(pose.position).all())
        and abs(math.hypot(*pose.quaternion) - 1.0) < 0.01
    )
