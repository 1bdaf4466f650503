"""Workspace, following error and joint ranges as linear limits on the twist of this moment. ROS-free.

A distance d to a limit allows a speed of d / stop_time towards it: the approach fades out no harder than the
ramp brakes. If the arm's braking ability is known, a wall also allows no more than the speed from which the
arm, after a reaction time, rests within d. Motion away from a limit is always free. Beyond a limit, only
motion back is allowed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gr1_core.rig import Limits
from gr1_robot.arm.backend import ArmState, BodyHeights

Reduction = tuple[str, str] | None
"""Why a twist was reduced: the gate's reason code and a text for a person; None: it was not."""

_AXES = slice(1, 4)
_ROTATION = 4
_FIRST_JOINT = 5
_DAMPING = 0.02**2 * np.eye(6)
_ZERO = np.zeros(6)
_TOLERANCE = 1e-9
_REACTION_S = 0.06
"""s: how much later than its command an arm may brake."""
_BRAKING_SHARE = 0.7
"""Of the arm's braking ability: the rest is for turning, which needs it at the same time."""


class MotionLimits(NamedTuple):
    """low <= rows @ twist <= high, twist f64[6] in m/s and rad/s; a zero twist always satisfies it.

    Rows: following error of position, the three axes of the workspace box, following error of orientation,
    then limited joints, then parts of the body above the table. joints: the numbers of the limited joints,
    from 1. left: degrees from each of them to its nearer end. body: the parts, None where they are not
    watched. below, above: f64[3] m to the walls of the box. braking: m/s2, how hard the arm can brake;
    infinite: not known.
    """

    rows: np.ndarray
    low: np.ndarray
    high: np.ndarray
    joints: np.ndarray
    left: np.ndarray
    below: np.ndarray
    above: np.ndarray
    braking: float
    body: BodyHeights | None

    @property
    def beyond(self) -> bool:
        """Whether the following error has reached its limit, in position or in orientation."""
        return bool(self.high[0] <= 0.0 or self.high[_ROTATION] <= 0.0)

    def limit_request(self, twist: np.ndarray) -> tuple[np.ndarray, Reduction]:
        """The requested twist without the part that leaves the box, then all of it scaled by following error
        and joints.
        """
        inside, boxed = self._keep_in_box(twist)
        share, slowed = self._allowed_share(_ZERO, inside)
        return inside * share, slowed or boxed

    def limit_ramp(self, brake: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, Reduction]:
        """The furthest allowed twist between `brake` (the result of braking alone) and `after`: none on that
        way breaks the ramp.
        """
        after, boxed = self._keep_in_box(after)
        share, slowed = self._allowed_share(_ZERO, after)
        if not slowed:
            return after, boxed
        brake = brake * self._allowed_share(_ZERO, brake)[0]
        return brake + (after - brake) * self._allowed_share(brake, after - brake)[0], slowed

    def _keep_in_box(self, twist: np.ndarray) -> tuple[np.ndarray, Reduction]:
        inside, (low, high) = twist.copy(), self._bounds(twist)
        inside[:3] = np.maximum(np.minimum(twist[:3], high[_AXES]), low[_AXES])
        return inside, ("workspace", "") if (inside != twist).any() else None

    def _allowed_share(self, start: np.ndarray, way: np.ndarray) -> tuple[float, Reduction]:
        """The largest t in 0 .. 1 for which start + t * way is allowed, and what forbids more."""
        rates, used = self.rows @ way, self.rows @ start
        low, high = self._bounds(start + way)
        slack = np.where(rates > 0, np.maximum(high - used, 0.0), np.minimum(low - used, 0.0))
        tight = np.flatnonzero(np.abs(rates) > np.abs(slack) + _TOLERANCE)
        if not tight.size:
            return 1.0, None
        shares = slack[tight] / rates[tight]
        first = int(shares.argmin())
        return float(shares[first]), self._explain(int(tight[first]))

    def _bounds(self, twist: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """low and high of each row for a motion in the direction of this twist."""
        if not np.isfinite(self.braking):
            return self.low, self.high
        along = np.minimum(np.abs(twist[:3]) / max(_norm(twist[:3]), 1e-12), 1.0)
        low, high = self.low.copy(), self.high.copy()
        low[_AXES] = np.maximum(low[_AXES], -_safe_speed(self.braking, self.below, along))
        high[_AXES] = np.minimum(high[_AXES], _safe_speed(self.braking, self.above, along))
        return low, high

    def _explain(self, row: int) -> Reduction:
        if row in (0, _ROTATION):
            return "following_error", ""
        if row < _FIRST_JOINT:
            return "workspace", ""
        joint = row - _FIRST_JOINT
        if joint >= len(self.joints):
            part = joint - len(self.joints)
            return "table", f"{self.body.names[part]} is {1e3 * self.body.above[part]:.0f} mm above the table"
        return "joint_limit", f"joint {self.joints[joint]} is {self.left[joint]:.1f} degrees from its end"


class MotionLimiter:
    """The limits of one arm. joint_limits: f64[n, 2] rad, infinite for a continuous joint. stop_time: s.

    braking: how hard the arm can brake, m/s2; infinite: not known.
    """

    def __init__(
        self,
        limits: Limits,
        joint_limits: np.ndarray,
        stop_time: float,
        braking: float = math.inf,
    ):
        self._limits, self._stop_time = limits, stop_time
        self._braking = braking
        self._low, self._high = np.array(limits.workspace_min), np.array(limits.workspace_max)
        ends = np.asarray(joint_limits, np.float64)
        self._limited = np.flatnonzero(np.isfinite(ends).any(axis=1))
        self._ends = ends[self._limited]

    @property
    def needs_joints(self) -> bool:
        """Whether `limits_at` needs joint angles and the Jacobian."""
        return bool(self._limited.size)

    def limits_at(
        self,
        state: ArmState,
        jacobian: np.ndarray | None,
        ahead: np.ndarray,
        body: BodyHeights | None = None,
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
        turn = _rotation_between(measured.quaternion, state.commanded.quaternion) + ahead[3:]
        length, angle = math.sqrt(lead @ lead), math.sqrt(turn @ turn)
        away, about = np.zeros((2, 1, 6))
        away[0, :3], about[0, 3:] = lead / max(length, 1e-12), turn / max(angle, 1e-12)
        rows = [away, np.eye(3, 6), about]
        low = [[-np.inf], self._low - position, [-np.inf]]
        high = [
            [self._limits.max_following_error - length],
            self._high - position,
            [self._limits.max_following_angle - angle],
        ]
        left = np.zeros(0)
        if self.needs_joints or body is not None:
            joint_rates = np.linalg.solve(jacobian @ jacobian.T + _DAMPING, jacobian).T
        if self.needs_joints:
            inverse = joint_rates[self._limited]
            # Where the joints are, and where they will be once the arm has reached its commanded pose: the
            # nearer to the end counts.
            now = np.asarray(state.joints)[self._limited]
            soon = now + inverse @ np.append(lead, turn)
            rows.append(inverse)
            low.append(self._ends[:, 0] + self._limits.joint_margin - np.minimum(now, soon))
            high.append(self._ends[:, 1] - self._limits.joint_margin - np.maximum(now, soon))
            left = np.degrees(np.minimum(now - self._ends[:, 0], self._ends[:, 1] - now))
        if body is not None:
            falls = body.change @ joint_rates
            rows.append(falls)
            low.append(-np.minimum(body.above, body.above + falls @ np.append(lead, turn)))
            high.append(np.full(len(falls), np.inf))
        low, high = np.minimum(np.concatenate(low), 0.0), np.maximum(np.concatenate(high), 0.0)
        return MotionLimits(
            np.concatenate(rows),
            low / self._stop_time,
            high / self._stop_time,
            self._limited + 1,
            left,
            -low[_AXES],
            high[_AXES],
            self._braking,
            body,
        )


def _safe_speed(braking: float, distance: np.ndarray, along: np.ndarray) -> np.ndarray:
    """The speed towards each wall from which the arm rests before it.

    along: the cosine between path and wall's normal, 0 .. 1. On a path with speed s: (s t + s^2 / 2a) along
    <= distance.
    """
    able, way = _BRAKING_SHARE * braking, distance / np.maximum(along, 1e-9)
    return along * able * (np.sqrt(_REACTION_S**2 + 2.0 * way / able) - _REACTION_S)


def _norm(vector: np.ndarray) -> float:
    return math.sqrt(vector @ vector)


def _rotation_between(start, end) -> np.ndarray:
    """The rotation vector f64[3], base frame, from one quaternion xyzw to another."""
    x, y, z, w = map(float, end)
    a, b, c, d = map(float, start)
    axis = np.array(
        [d * x - w * a - y * c + z * b, d * y - w * b - z * a + x * c, d * z - w * c - x * b + y * a]
    )
    cosine, sine = w * d + x * a + y * b + z * c, float(np.linalg.norm(axis))
    return axis * (2.0 * math.copysign(math.atan2(sine, abs(cosine)), cosine) / max(sine, 1e-12))
