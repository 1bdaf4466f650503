"""An arm as capsules: how far its parts are from the table, from boxes and from each other, and how each
joint changes that. ROS-free.

`Body` needs a chain of joints (`Chain.frames`) and capsules in the joints' frames; an arm whose description
comes from elsewhere, such as a URDF, gives the same two. Lengths in m, angles in rad, the arm's base frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np

from gr1_core.kinematics import Capsule
from gr1_core.rig import Rig, RigError

_SAMPLES = 3000
"""Random postures from which `Body` learns which parts can meet."""
_STARTS, _STEPS, _FIRST_STEP_RAD, _NEXT_STEP = 6, 40, 0.5, 0.9
"""For parts that met in none of them: random steps from the nearest ones, each smaller than the last."""
_NEVER_M = 0.01
_ALWAYS = 0.3
_ON_THE_BASE = 1
"""Parts up to this joint keep their distance to the table whatever the joints do."""


class Kinematics(Protocol):
    """What `Body` needs of an arm: gr1_core.kinematics.Chain, for example."""

    limits: np.ndarray
    """f64[n, 2] rad, infinite for unlimited joints."""
    tool: np.ndarray
    """f64[3] m: the point that twists refer to, in the last joint's frame."""

    def frames(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f64[k, n] rad -> origins f64[k, n + 1, 3] m and rotations f64[k, n + 1, 3, 3] of base and joints,
        which rotate about their own z.
        """


class Box(NamedTuple):
    """Its lowest and its highest corner, f64[3] m, base frame; its edges are along the axes."""

    low: np.ndarray
    high: np.ndarray


class Clearances(NamedTuple):
    """For k postures and m pairs that must not meet.

    distance: f64[k, m] m, less than 0 where they overlap. change: f64[k, m, n] m for one rad of each joint.
    jacobian: f64[k, 6, n], the tool's velocity (m/s, then rad/s) for one rad/s of each joint.
    """

    distance: np.ndarray
    change: np.ndarray
    jacobian: np.ndarray


class Body:
    """The capsules of one arm above a table (z = table_height) and among boxes.

    Pairs of capsules that touch always, or in no posture of the joints' ranges, are not watched.
    """

    def __init__(
        self,
        chain: Kinematics,
        capsules: Sequence[Capsule],
        table_height: float = 0.0,
        boxes: Mapping[str, Box] | None = None,
    ):
        self._chain, self.capsules, self._table = chain, tuple(capsules), table_height
        boxes = boxes or {}
        self._joint = np.array([capsule.joint for capsule in capsules])
        self._start = np.array([capsule.start for capsule in capsules], np.float64)
        self._end = np.array([capsule.end for capsule in capsules], np.float64)
        self._radius = np.array([capsule.radius for capsule in capsules])
        moving = np.flatnonzero(self._joint > _ON_THE_BASE)
        self._low_ends = np.concatenate([2 * moving, 2 * moving + 1])
        self._box_low = np.array([box.low for box in boxes.values()], np.float64).reshape(-1, 3)
        self._box_high = np.array([box.high for box in boxes.values()], np.float64).reshape(-1, 3)
        self._boxed = np.repeat(np.flatnonzero(self._joint > 0), len(boxes))
        self._box = np.tile(np.arange(len(boxes)), np.count_nonzero(self._joint > 0))
        self._first, self._second = self._pairs_that_can_meet()
        names = [capsule.name for capsule in capsules]
        self.names = (
            *(f"{names[end // 2]} and the table" for end in self._low_ends),
            *(f"{names[i]} and {list(boxes)[b]}" for i, b in zip(self._boxed, self._box)),
            *(f"{names[i]} and {names[j]}" for i, j in zip(self._first, self._second)),
        )
        """The m pairs."""
        self.kinds = np.array(
            ["table"] * len(self._low_ends)
            + ["obstacle"] * len(self._boxed)
            + ["self_collision"] * len(self._first)
        )
        """The gate's reason for each pair."""
        self._levers = self._levers_of_pairs(len(np.atleast_1d(chain.limits)))

    def jacobian(self, angles: np.ndarray) -> np.ndarray:
        """f64[n] rad -> f64[6, n]: the tool's velocity (m/s, then rad/s) for one rad/s of each joint."""
        return _jacobian(*self._joints(angles[None])[2:])[0]

    def clearances(self, angles: np.ndarray) -> Clearances:
        """angles: f64[k, n] rad."""
        frames, starts, ends = self._place(angles)
        distance, points, pushes = self._measure(starts, ends)
        change = self._changes(*frames[:2], points, pushes)
        pairs = len(self._first)
        if pairs:
            # Both parts of a pair move.
            change = np.concatenate(
                [change[:, : -2 * pairs], change[:, -2 * pairs : -pairs] + change[:, -pairs:]], axis=1
            )
        return Clearances(distance, change, _jacobian(*frames))

    def distances(self, angles: np.ndarray) -> np.ndarray:
        """f64[k, m] m for postures f64[k, n] rad, without their changes."""
        return self._measure(*self._place(angles)[1:])[0]

    def _measure(self, starts: np.ndarray, ends: np.ndarray):
        """Both ends of the capsules -> the distances, the points of the arm that are nearest to something and
        the directions away from it, f64[k, points, 3]; of pairs of parts first all first points, then all
        second ones.
        """
        ways = ends - starts
        # The table: the two ends of each capsule.
        low = np.stack([starts, ends], axis=2).reshape(len(starts), -1, 3)[:, self._low_ends]
        gap = low[..., 2] - self._radius[self._low_ends // 2] - self._table
        up = np.zeros_like(low)
        up[..., 2] = 1.0
        on_arm, on_box = self._nearest_to_boxes(starts, ways)
        i, j = self._first, self._second
        first, second = nearest_points(starts[:, i], ways[:, i], starts[:, j], ways[:, j])
        between = np.concatenate([on_arm - on_box, first - second], axis=1)
        length = np.sqrt(np.einsum("kmi,kmi->km", between, between))
        radii = np.concatenate([self._radius[self._boxed], self._radius[i] + self._radius[j]])
        away = between / np.maximum(length, 1e-9)[..., None]
        return (
            np.concatenate([gap, length - radii], axis=1),
            np.concatenate([low, on_arm, first, second], axis=1),
            np.concatenate([up, away, -away[:, len(self._boxed) :]], axis=1),
        )

    def _place(self, angles: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
        """Origins and axes of the joints, f64[k, n, 3] each, and the tool; both ends of the capsules,
        f64[k, c, 3].
        """
        origins, rotations, *frames = self._joints(angles)
        turned, at = rotations[:, self._joint], origins[:, self._joint]
        starts = at + np.matmul(turned, self._start[..., None])[..., 0]
        ends = at + np.matmul(turned, self._end[..., None])[..., 0]
        return tuple(frames), starts, ends

    def _joints(self, angles: np.ndarray):
        """Origins and rotations of base and joints; the joints' origins and axes, f64[k, n, 3], and the tool,
        f64[k, 3].
        """
        origins, rotations = self._chain.frames(np.asarray(angles, np.float64))
        tip = origins[:, -1] + rotations[:, -1] @ self._chain.tool
        return origins, rotations, origins[:, 1:], rotations[:, 1:, :, 2], tip

    def _changes(self, origins, axes, points: np.ndarray, pushes: np.ndarray) -> np.ndarray:
        """How far one rad of each joint moves each point f64[k, m, 3] along its push: f64[k, m, n]."""
        # push . (axis x (point - origin)) = (point x push) . axis - push . (axis x origin)
        moments = cross(points, pushes)
        change = np.matmul(moments, axes.transpose(0, 2, 1))
        change -= np.matmul(pushes, cross(axes, origins).transpose(0, 2, 1))
        return change * self._levers

    def _levers_of_pairs(self, joints: int) -> np.ndarray:
        """f64[points, n]: 1 where a joint moves the point, 0 behind it."""
        of_points = np.concatenate(
            [
                self._joint[self._low_ends // 2],
                self._joint[self._boxed],
                self._joint[self._first],
                self._joint[self._second],
            ]
        )
        return (np.arange(1, joints + 1) <= of_points[:, None]).astype(np.float64)

    def _nearest_to_boxes(self, starts: np.ndarray, ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest points of each capsule's segment and each box, f64[k, c * b, 3] each."""
        if not len(self._boxed):
            empty = np.zeros((len(starts), 0, 3))
            return empty, empty
        start, way = starts[:, self._boxed], ways[:, self._boxed]
        low, high = self._box_low[self._box], self._box_high[self._box]
        # The slope of the squared distance along the segment grows, in straight pieces that end where the
        # segment crosses a face's plane.
        with np.errstate(divide="ignore", invalid="ignore"):
            crossings = np.concatenate([(low - start) / way, (high - start) / way], axis=2)
        crossings = np.nan_to_num(np.clip(crossings, 0.0, 1.0))
        shares = np.sort(np.insert(np.insert(crossings, 0, 0.0, axis=2), 7, 1.0, axis=2), axis=2)
        places = start[..., None, :] + shares[..., None] * way[..., None, :]
        off = places - np.clip(places, low[:, None], high[:, None])
        slopes = np.einsum("kmsi,kmi->kms", off, way)
        after = np.clip(np.argmax(slopes >= 0.0, axis=2), 1, 7)
        after = np.where((slopes < 0.0).all(axis=2), 7, after)
        pick = after[..., None]
        s0, s1 = (np.take_along_axis(slopes, p, 2)[..., 0] for p in (pick - 1, pick))
        t0, t1 = (np.take_along_axis(shares, p, 2)[..., 0] for p in (pick - 1, pick))
        share = np.clip(t0 - s0 * (t1 - t0) / np.where(s1 - s0 > 1e-12, s1 - s0, np.inf), 0.0, 1.0)
        share = np.where(s0 >= 0.0, t0, np.where(s1 < 0.0, t1, share))
        on_arm = start + share[..., None] * way
        on_box = np.clip(on_arm, low, high)
        inside = (on_arm == on_box).all(axis=2)
        # A segment within a box: away from its middle.
        middle = (low + high) / 2
        return on_arm, np.where(inside[..., None], on_arm + 1e-6 * (middle - on_arm), on_box)

    def _pairs_that_can_meet(self) -> tuple[np.ndarray, np.ndarray]:
        candidates = [
            (i, j)
            for i, j in combinations(range(len(self.capsules)), 2)
            if abs(self._joint[i] - self._joint[j]) > 1 and self.capsules[i].name != self.capsules[j].name
        ]
        pairs = np.array(candidates, int).reshape(-1, 2)
        rng, finite = np.random.default_rng(0), np.isfinite(self._chain.limits).all(axis=1)[:, None]
        low, high = np.where(finite, self._chain.limits, (-math.pi, math.pi)).T
        angles = rng.uniform(low, high, (_SAMPLES, len(low)))
        distance = self._between(angles, *pairs.T)
        nearest, always = distance.min(axis=0), (distance < 0.0).mean(axis=0) >= _ALWAYS
        # Random postures miss the few in which two parts meet: on from those that came nearest.
        far = np.flatnonzero(nearest >= _NEVER_M)
        rows = np.repeat(far, _STARTS)
        order = np.argsort(distance[:, far], axis=0)[:_STARTS].T.ravel()
        angles, best, reach = angles[order], distance[order, rows], _FIRST_STEP_RAD
        for _ in range(_STEPS):
            trial = np.clip(angles + reach * rng.normal(size=angles.shape), low, high)
            found = self._between(trial, *pairs[rows].T[..., None])[:, 0]
            better = found < best
            angles[better], best[better] = trial[better], found[better]
            reach *= _NEXT_STEP
        np.minimum.at(nearest, rows, best)
        can = (nearest < _NEVER_M) & ~always
        return pairs[can, 0], pairs[can, 1]

    def _between(self, angles: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """m between the capsules i and j at postures f64[k, n]: int[m] each for all of them, or int[k, 1] for
        one pair each.
        """
        _, starts, ends = self._place(angles)
        ways, each = ends - starts, np.arange(len(angles))[:, None]
        first, second = nearest_points(starts[each, i], ways[each, i], starts[each, j], ways[each, j])
        return np.linalg.norm(first - second, axis=2) - self._radius[i] - self._radius[j]


def body_of(rig: Rig, chain: Kinematics, capsules: Sequence[Capsule], table_height: float = 0.0) -> Body:
    """The body of a driver's arm with the parts and obstacles of a rig.

    A part of the rig replaces those of its name. Raises RigError for a part at a joint that the arm lacks.
    """
    joints = len(chain.limits)
    for name, part in rig.body.items():
        if not 0 <= part.joint <= joints:
            raise RigError(
                f"rig '{rig.name}': body.{name}.joint is {part.joint}, but this arm has joints 1 to {joints} "
                "(0: its base)"
            )
    own = [capsule for capsule in capsules if capsule.name not in rig.body]
    added = [Capsule(name, part.joint, part.start, part.end, part.radius) for name, part in rig.body.items()]
    boxes = {name: Box(np.array(box.min), np.array(box.max)) for name, box in rig.obstacles.items()}
    return Body(chain, [*own, *added], table_height, boxes)


def _jacobian(origins: np.ndarray, axes: np.ndarray, tip: np.ndarray) -> np.ndarray:
    """f64[k, 6, n] of the tool."""
    return np.concatenate([cross(axes, tip[:, None] - origins), axes], axis=2).transpose(0, 2, 1)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a x b of f64[..., 3]; numpy's own is several times slower for few vectors."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    out[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    out[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    out[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return out


def nearest_points(
    p: np.ndarray, u: np.ndarray, q: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest points of the segments p + [0, 1] u and q + [0, 1] v, f64[..., 3] each."""
    w = p - q
    uu, vv, uv = (np.einsum("...i,...i->...", a, b) for a, b in ((u, u), (v, v), (u, v)))
    uw, vw = (np.einsum("...i,...i->...", a, w) for a in (u, v))
    uu, vv = np.maximum(uu, 1e-12), np.maximum(vv, 1e-12)
    square = uu * vv - uv * uv
    s = np.clip((uv * vw - vv * uw) / np.maximum(square, 1e-12), 0.0, 1.0)
    t = (uv * s + vw) / vv
    t_in = np.clip(t, 0.0, 1.0)
    s = np.where(t == t_in, s, np.clip((uv * t_in - uw) / uu, 0.0, 1.0))
    return p + s[..., None] * u, q + t_in[..., None] * v
