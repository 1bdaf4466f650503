"""Everything that limits the twist of this moment, as linear rows: workspace, following error, tilt, joint
ranges and speeds, and what the arm's parts must not touch. ROS-free.

The distance that counts towards a limit is what is left of it when all that was sent has been carried out
and the arm has braked as it can (`ArmLimits`), both parts of its motion together or each for itself. A
distance d allows a speed of d / horizon towards the limit; the horizon is `stop_time`, or half the time in
which the arm comes to rest if that is longer. Motion away from a limit is free. Beyond it, only motion back
is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from gr1_common.conventions import TICK
from gr1_core.rig import Limits
from gr1_robot.arm.backend import NO_LIMITS, ArmLimits, ArmState
from gr1_robot.arm.capsules import Body

Reduction = tuple[str, str] | None
"""Why a twist was reduced: the gate's reason code and a text for a person; None: it was not."""

_AXES = slice(1, 4)
_ROTATION = 4
_FIRST_JOINT = 5
_AXIS_ROWS = np.eye(3, 6)
_DAMPING = 0.02**2 * np.eye(6)
_ZERO = np.zeros(6)
_TOLERANCE = 1e-9
REACTION_S = 0.06
"""s: how much later than its command an arm may move."""
_BRAKING_SHARE = 0.85
"""Of the arm's braking ability: the rest is for turning, which needs it at the same time."""
_SPEED_SHARE = 0.85
"""Of the vendor's joint speeds: the rest is for what the posture changes within the reaction time."""
_CLEARANCE_M = 0.002
"""m that parts keep from each other, from the table and from boxes."""
_WALL_M = 0.0005
"""m that an arm of known braking ability keeps from the walls of the workspace."""
_NEAR_M = 0.2
"""m: pairs further apart than this cannot meet before the next ticks."""
_LATER = 0.8
"""The share of a twist that is left, at most, where the arm is nearly at rest."""
_ROUNDS = 16


class Sent(NamedTuple):
    """What was sent, m/s and rad/s.

    arm: f64[6], the velocity that the arm has if it brakes as `ArmLimits` says. recent: f64[k, 6] m and rad,
    what it may still have to carry out: sums over the last 1 .. k ticks.
    """

    arm: np.ndarray
    recent: np.ndarray


AT_REST = Sent(_ZERO, np.zeros((0, 6)))


class MotionLimits(NamedTuple):
    """low <= rows @ twist <= high, twist f64[6] in m/s and rad/s; a zero twist always satisfies it.

    Rows: following error of position, the three axes of the workspace box, following error of orientation,
    limited joints' ranges, joints' speeds; these scale the whole motion, except for the box. Then clearances:
    against them only the part of the motion that leads there is removed.
    """

    rows: np.ndarray
    low: np.ndarray
    high: np.ndarray
    sliding: int
    """The number of the first clearance."""
    explain: Callable[[int], Reduction]
    """Of a row: the gate's reason and a text for a person."""

    @property
    def beyond(self) -> bool:
        """Whether the following error has reached its limit, in position or in orientation."""
        return bool(self.high[0] <= 0.0 or self.high[_ROTATION] <= 0.0)

    def limit_request(self, twist: np.ndarray) -> tuple[np.ndarray, Reduction]:
        """The requested twist without the parts that leave the box or lead to an obstacle, then all of it
        scaled by following error and joints.
        """
        inside, reduced = self._slide(twist)
        share, slowed = self._allowed_share(_ZERO, inside)
        return inside * share, slowed or reduced

    def limit_ramp(self, brake: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, Reduction]:
        """The furthest allowed twist between `brake` (the result of braking alone) and `after`: none on that
        way breaks the ramp.
        """
        after, reduced = self._slide(after)
        share, slowed = self._allowed_share(_ZERO, after)
        if not slowed:
            return after, reduced
        brake = brake * self._allowed_share(_ZERO, brake)[0]
        return brake + (after - brake) * self._allowed_share(brake, after - brake)[0], slowed

    def _slide(self, twist: np.ndarray) -> tuple[np.ndarray, Reduction]:
        """The nearest twist that stays in the box and leads to no obstacle; parts that were zero stay so."""
        inside = twist.copy()
        inside[:3] = np.maximum(np.minimum(twist[:3], self.high[_AXES]), self.low[_AXES])
        boxed = ("workspace", "") if (inside != twist).any() else None
        rows, low = self.rows[self.sliding :], self.low[self.sliding :]
        if not len(rows) or (rows @ inside >= low - _TOLERANCE).all():
            return inside, boxed
        scale = np.repeat([_norm(twist[:3]), _norm(twist[3:])], 3)
        box = self.rows[_AXES]
        sides = np.concatenate([rows, box, -box]) * scale
        bounds = np.concatenate([low, self.low[_AXES], -self.high[_AXES]])
        # The unit of each part is its speed, so both have length 1 or 0.
        part, first = _nearest(twist / np.maximum(scale, 1e-12), sides, bounds)
        # Neither part of the motion becomes faster than it was.
        part /= max(_norm(part[:3]), _norm(part[3:]), 1.0)
        return part * scale, (self.explain(self.sliding + first) if first < len(rows) else ("workspace", ""))

    def _allowed_share(self, start: np.ndarray, way: np.ndarray) -> tuple[float, Reduction]:
        """The largest t in 0 .. 1 for which start + t * way is allowed, and what forbids more."""
        rates, used = self.rows @ way, self.rows @ start
        slack = np.where(rates > 0, np.maximum(self.high - used, 0.0), np.minimum(self.low - used, 0.0))
        tight = np.flatnonzero(np.abs(rates) > np.abs(slack) + _TOLERANCE)
        if not tight.size:
            return 1.0, None
        shares = slack[tight] / rates[tight]
        first = int(shares.argmin())
        return float(shares[first]), self.explain(int(tight[first]))


class MotionLimiter:
    """The limits of one arm. joint_limits: f64[n, 2] rad, infinite for a continuous joint. stop_time: s.

    vendor: how hard it brakes, and how long it carries on. joint_speeds: f64[n] rad/s, None: not stated.
    body: its parts, None: they are not watched.
    """

    def __init__(
        self,
        limits: Limits,
        joint_limits: np.ndarray,
        stop_time: float,
        vendor: ArmLimits = NO_LIMITS,
        joint_speeds: np.ndarray | None = None,
        body: Body | None = None,
    ):
        self._limits, self._stop_time, self._body = limits, stop_time, body
        self._braking = _BRAKING_SHARE * np.array([vendor.linear_braking, vendor.angular_braking])
        self._carries_on = vendor.carries_on
        self._inert = bool(np.isfinite(self._braking).any())
        self._low, self._high = np.array(limits.workspace_min), np.array(limits.workspace_max)
        ends = np.asarray(joint_limits, np.float64)
        self._limited = np.flatnonzero(np.isfinite(ends).any(axis=1))
        self._ends = ends[self._limited]
        speeds = np.full(len(ends), np.inf) if joint_speeds is None else np.asarray(joint_speeds)
        self._fast = np.flatnonzero(np.isfinite(speeds))
        self._speeds = _SPEED_SHARE * speeds[self._fast]
        self._postures = 1 if body is None else 3

    @property
    def needs_joints(self) -> bool:
        """Whether `limits_at` needs joint angles and the Jacobian."""
        return bool(self._limited.size or self._fast.size or self._body is not None)

    def limits_at(
        self,
        state: ArmState,
        jacobian: np.ndarray | None,
        ahead: np.ndarray,
        sent: Sent = AT_REST,
    ) -> MotionLimits:
        """The limits at this moment.

        jacobian: f64[6, n] at the state's joints. ahead: f64[6] m and rad, how far the commanded pose of this
        moment is ahead of the state's.

        The joint velocities of a twist are the least-squares solution, damped so that it stays finite in
        singular poses. The vendor's controller may distribute a motion differently among the joints:
        `joint_margin` covers that.
        """
        measured, position = state.measured, state.commanded.position + ahead[:3]
        lead = position - measured.position
        turn = rotation_between(measured.quaternion, state.commanded.quaternion) + ahead[3:]
        length, angle = math.sqrt(lead @ lead), math.sqrt(turn @ turn)
        away, about = np.zeros((2, 1, 6))
        away[0, :3], about[0, 3:] = lead / max(length, 1e-12), turn / max(angle, 1e-12)
        # Rest, and how far away it is: each part for itself, and both together.
        rest = np.array([_norm(sent.arm[:3]), _norm(sent.arm[3:])]) / self._braking + TICK * self._inert
        parts = TICK + self._carries_on + rest / 2
        horizon = max(self._stop_time, parts.max())
        # Where the arm may be on its way to where all that was sent leads it.
        pending = np.zeros((1 + len(sent.recent), 6))
        pending[1:] = sent.recent
        less, more = pending[:, :3].min(axis=0), pending[:, :3].max(axis=0)
        rows = [away, _AXIS_ROWS, about]
        margin = _WALL_M * self._inert
        below = np.minimum(self._low + margin - position - less, 0.0) / horizon
        above = np.maximum(self._high - margin - position - more, 0.0) / horizon
        low = [[-np.inf], below, [-np.inf]]
        high = [
            [max(self._limits.max_following_error - length, 0.0) / self._stop_time],
            above,
            [max(self._limits.max_following_angle - angle, 0.0) / self._stop_time],
        ]
        left = tilt = near = close = None
        if self.needs_joints:
            inverse = _inverse(jacobian)
            joints = np.asarray(state.joints, np.float64)
            ways = np.zeros((len(pending) + 1, 6))
            ways[1:] = pending + np.append(lead, turn)
        if self._limited.size:
            # Where the joints are, and where they will be: the nearest to the end counts.
            row = inverse[self._limited]
            now, soon = joints[self._limited], ways @ row.T
            rows.append(row)
            margin = self._limits.joint_margin
            low.append(np.minimum(self._ends[:, 0] + margin - now - soon.min(axis=0), 0.0) / horizon)
            high.append(np.maximum(self._ends[:, 1] - margin - now - soon.max(axis=0), 0.0) / horizon)
            left = np.minimum(now - self._ends[:, 0], self._ends[:, 1] - now)
        if self._body is not None:
            # Where all that was sent is done, and where the arm then comes to rest.
            there = joints + inverse @ ways[-1]
            stopping = sent.arm * (horizon - TICK if self._inert else 0.0)
            onward = _inverse(self._body.jacobian(there))
            near = self._body.clearances(np.array([joints, there + onward @ stopping]))
        if self._fast.size:
            rows.append(inverse[self._fast])
            if near is not None:
                last = _LATER * _inverse(near.jacobian[1])
                rows += [onward[self._fast], last[self._fast]]
            low.append(np.tile(-self._speeds, self._postures))
            high.append(np.tile(self._speeds, self._postures))
        sliding = sum(map(len, high))
        if self.needs_joints:
            # What joints make of a twist where they lose a part of it: near singular postures.
            made = jacobian[:3] @ inverse
            rows += [made, -made]
            low += [below, -above]
        if self._limits.max_tilt is not None:
            row, room, tilt = self._tilt(measured.quaternion)
            soon = np.minimum(((pending + np.append(lead, turn)) @ row.T).min(axis=0), 0.0)
            rows.append(row)
            low.append(-np.maximum(room + soon, 0.0) / horizon)
        if near is not None:
            close, row, distance = self._clearances(near, inverse, onward, ways, stopping, parts / horizon)
            rows.append(row)
            low.append(-np.maximum(distance, 0.0) / horizon)
        low = np.concatenate(low)
        high.append(np.full(len(low) - sliding, np.inf))
        explain = partial(self._explain, left, tilt, near, close)
        return MotionLimits(np.concatenate(rows), low, np.concatenate(high), sliding, explain)

    def _clearances(self, near, inverse, onward, ways, stopping, shares):
        """The numbers of the pairs that are near; rows and m that are left, at the measured posture and at
        the one in which the arm would come to rest.
        """
        distance = near.distance - _CLEARANCE_M
        close = np.flatnonzero(distance.min(axis=0) < _NEAR_M)
        distance = distance[:, close]
        falls = near.change[0, close] @ inverse, near.change[1, close] @ onward
        now = distance[0] + np.minimum((falls[0] @ ways.T).min(axis=1), 0.0)
        rows, left = [falls[0], falls[1]], [now, distance[1] - falls[1] @ stopping]
        if self._inert:
            # Each part of the motion brakes for itself, as after a stop.
            rows.append(falls[0] * np.repeat(shares, 3))
            left.append(now)
        return close, np.concatenate(rows), np.concatenate(left)

    def _explain(self, left, tilt, near, close, row: int) -> Reduction:
        if row in (0, _ROTATION):
            return "following_error", ""
        row -= _FIRST_JOINT
        if row < 0:
            return "workspace", ""
        if row < len(self._limited):
            degrees = math.degrees(left[row])
            return "joint_limit", f"joint {self._limited[row] + 1} is {degrees:.1f} degrees from its end"
        row -= len(self._limited)
        if row < self._postures * len(self._fast):
            return "joint_speed", f"joint {self._fast[row % len(self._fast)] + 1} is at its speed limit"
        row -= self._postures * len(self._fast) + 2 * len(_AXIS_ROWS)
        if row < 0:
            return "workspace", ""
        if tilt is not None:
            if row == 0:
                return "tilt", f"the hand is tilted by {math.degrees(tilt):.0f} degrees"
            row -= 1
        pair = close[row % len(close)]
        return self._body.kinds[pair], f"{self._body.names[pair]}: {1e3 * near.distance[0, pair]:.0f} mm"

    def _tilt(self, quaternion):
        """Row of the hand's tilt, rad that are left, and the tilt."""
        x, y, z, w = map(float, quaternion)
        approach = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
        axis = np.array([approach[1], -approach[0], 0.0])
        size = _norm(axis)
        tilt = math.atan2(size, -approach[2])
        row = np.zeros((1, 6))
        row[0, 3:] = -axis / max(size, 1e-12)
        return row, np.array([self._limits.max_tilt - tilt]), tilt


def _inverse(jacobian: np.ndarray) -> np.ndarray:
    """f64[..., n, 6]: joint velocities for a twist, of Jacobians f64[..., 6, n]."""
    square = jacobian @ jacobian.swapaxes(-1, -2) + _DAMPING
    return np.linalg.solve(square, jacobian).swapaxes(-1, -2)


def _nearest(point: np.ndarray, rows: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, int]:
    """The point nearest to f64[6] with rows @ it >= low, and the row that was violated most.

    An active set: the most violated row joins, rows that would pull instead of push leave. Ended early, it is
    near the answer; what is still violated is scaled away by the caller.
    """
    active: list[int] = []
    now, first = point, -1
    for _ in range(_ROUNDS):
        short = low - rows @ now
        worst = int(short.argmax())
        first = worst if first < 0 else first
        if short[worst] <= _TOLERANCE or worst in active:
            break
        active.append(worst)
        while True:
            sides = rows[active]
            push = np.linalg.solve(sides @ sides.T + 1e-12 * np.eye(len(active)), low[active] - sides @ point)
            if push.min() >= 0.0 or len(active) == 1:
                break
            del active[int(push.argmin())]
        now = point + sides.T @ push
    return now, first


def _norm(vector: np.ndarray) -> float:
    return math.sqrt(vector @ vector)


def rotation_between(start, end) -> np.ndarray:
    """The rotation vector f64[3], base frame, from one quaternion xyzw to another."""
    x, y, z, w = map(float, end)
    a, b, c, d = map(float, start)
    axis = np.array(
        [d * x - w * a - y * c + z * b, d * y - w * b - z * a + x * c, d * z - w * c - x * b + y * a]
    )
    cosine, sine = w * d + x * a + y * b + z * c, float(np.linalg.norm(axis))
    return axis * (2.0 * math.copysign(math.atan2(sine, abs(cosine)), cosine) / max(sine, 1e-12))
