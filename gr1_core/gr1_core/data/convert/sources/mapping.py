"""What a mapping says: which features of another dataset, or topics of a foreign bag, are a rig's cameras,
state
and action; and its arithmetic. `mapping_file` reads one from YAML.

A pose is the end effector's, in the arm's base frame; positions in metres and rotations in radians after
`scale`.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from gr1_core.data.convert.sources import rotations
from gr1_core.data.convert.sources.rotations import RotationError
from gr1_core.data.convert.sources.source import SourceError
from gr1_core.rig import Rig
from gr1_core.urdf import UrdfChain

ACTION_KINDS = {
    "delta": "the motion of one frame",
    "target": "the pose to be reached by the next frame",
    "next_state": "there are no actions: the state of the next frame is the target",
}
FRAMES = ("base", "hand")
"""The frame of a motion's numbers: the arm's base, or the hand before the motion."""


@dataclass(frozen=True)
class CameraMapping:
    """A camera feature and what is taken of its images.

    crop: left, top, width, height in pixels, None: all. size: (height, width) that the rest is scaled to,
    None: it stays.
    """

    feature: str
    crop: tuple[int, int, int, int] | None = None
    size: tuple[int, int] | None = None

    @property
    def unchanged(self) -> bool:
        return self.crop is None and self.size is None

    def shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a source image -> of the result."""
        if self.size is not None:
            return self.size
        return shape if self.crop is None else (self.crop[3], self.crop[2])

    def apply(self, image: np.ndarray) -> np.ndarray:
        """u8[H, W, 3] -> u8[h, w, 3]. Raises SourceError for a crop box that is not inside the image."""
        if self.crop is not None:
            left, top, width, height = self.crop
            if left + width > image.shape[1] or top + height > image.shape[0]:
                raise SourceError(
                    f"{self.feature}: crop {list(self.crop)} is not inside {image.shape[1]}x{image.shape[0]}"
                )
            image = image[top : top + height, left : left + width]
        if self.size is None or image.shape[:2] == self.size:
            return image
        smaller = self.size[0] < image.shape[0]
        return cv2.resize(
            image, self.size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        )


@dataclass(frozen=True)
class Components:
    """Components of vector features.

    features: one, or several whose components follow one another. take: indices of components. offset: the
    reading at zero, which is subtracted; scale: metres or radians per unit; of all components or of each.
    form: parametrisation of a rotation. A gripper is open where its component is above `open_above` or below
    `open_below`.
    """

    features: tuple[str, ...]
    take: tuple[int, ...]
    offset: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    form: str = ""
    open_above: float | None = None
    open_below: float | None = None

    def values(self, columns: Dictionary[str, np.ndarray]) -> np.ndarray:
        """columns: feature -> [T, n] -> f64[T, len(take)] in metres or radians.

        Raises SourceError for values that are not finite.
        """
        parts = [np.asarray(columns[name], np.float64) for name in self.features]
        values = np.concatenate(parts, axis=1)[:, self.take]
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            frame, component = wrong[0]
            raise SourceError(
                f"{self.label}[{self.take[component]}] is {values[frame, component]} at frame {frame}"
            )
        return (values - np.asarray(self.offset)) * np.asarray(self.scale)

    @property
    def label(self) -> str:
        return " + ".join(self.features)

    def closure(self, columns: Dictionary[str, np.ndarray]) -> np.ndarray:
        """A gripper's component -> f64[T], 0 open, 1 closed."""
        values = self.values(columns)[:, 0]
        opened = values > self.open_above if self.open_above is not None else values < self.open_below
        return 1.0 - opened

    def rotations(self, columns: Dictionary[str, np.ndarray]) -> Rotation:
        """T rotations. Raises SourceError for numbers that are far from a rotation."""
        try:
            return rotations.parse(self.values(columns), self.form)
        except RotationError as error:
            raise SourceError(f"{self.label}: at frame {error.index}: {error.reason}") from error


@dataclass(frozen=True)
class Mapping:
    """cameras: role -> CameraMapping. state, action: part -> Components; both None for videos. Parts are
    position,
    rotation and gripper, or joints and gripper.

    kind: one of ACTION_KINDS, or "model_units": state and action are stored as this package writes them and
    stay unchanged. frame: of a delta's numbers. chain: turns joint positions into poses. instruction: one
    for all episodes, for sources without any.
    """

    cameras: Dictionary[str, CameraMapping]
    state: Dictionary[str, Components] | None = None
    action: Dictionary[str, Components] | None = None
    kind: str = ""
    frame: str = "base"
    chain: UrdfChain | None = None
    instruction: str = ""

    @property
    def vectors(self) -> list[str]:
        """The features that `apply` needs."""
        parts = [*(self.state or {}).values(), *(self.action or {}).values()]
        return sorted({name for part in parts for name in part.features})

    def apply(
        self,
        columns: Dictionary[str, np.ndarray],
        rig: Rig,
        rows: np.ndarray | None = None,
        times: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Maps one episode: columns, feature -> [T, n] -> state f32[S, 7] and action f32[S, 7] of S steps.

        rows: i64[S], the frame of each step, default: all. times: f64[T] seconds of the frames, default: the
        rig's period apart. An action is the motion of one control period of the rig, whatever the frames'
        rate: motions in between are summed, poses interpolated.
        """
        length = len(next(iter(columns.values())))
        rows = np.arange(length) if rows is None else np.asarray(rows)
        if self.kind == "model_units":
            return tuple(
                parts["all"].values(columns)[rows].astype(np.float32) for parts in (self.state, self.action)
            )
        times = np.arange(length) * rig.period if times is None else np.asarray(times, np.float64)
        position, orientation = self._poses(self.state, columns)
        closure = self.state["gripper"].closure(columns)
        moves = self._motions(columns, position, orientation)
        command = (
            closure[_after(length)] if self.kind == "next_state" else self.action["gripper"].closure(columns)
        )
        last, share = reached(times, rows, rig.period)
        states, actions = [], []
        for first, final, part in zip(rows.tolist(), last.tolist(), share.tolist()):
            translation, turn = moves.between(first, final, part)
            pose = position[first], orientation[first].as_quat()
            states.append(rig.state_vector(*pose, closure[first]))
            linear, angular = translation / rig.period, turn.as_rotvec() / rig.period
            delta = rig.delta(linear, angular, rig.arm_state(*pose))
            actions.append(np.append(delta, 1 - 2 * command[final]))
        return np.array(states, np.float32), np.array(actions, np.float32)

    def action_is_state(self, columns: Dictionary[str, np.ndarray]) -> bool:
        """Whether the target of every frame is the pose of that frame, although the hand moves: the action
        is a
        copy of the state.
        """
        if self.kind != "target":
            return False
        position, _ = self._poses(self.state, columns)
        goal, _ = self._poses(self.action, columns)
        moves = len(goal) > 1 and np.ptp(position, axis=0).max() > 1e-6
        return bool(moves and np.abs(goal - position).max() < 1e-9)

    def _poses(self, parts: Dictionary[str, Components], columns) -> tuple[np.ndarray, Rotation]:
        if "joints" in parts:
            return self.chain.forward(parts["joints"].values(columns))
        return parts["position"].values(columns), parts["rotation"].rotations(columns)

    def _motions(self, columns, position: np.ndarray, orientation: Rotation) -> _Goals | _Deltas:
        if self.kind == "next_state":
            after = _after(len(position))
            return _Goals(position, orientation, position[after], orientation[after])
        if "joints" in self.action:
            joints = self.action["joints"].values(columns)
            if self.kind == "delta":
                joints = joints + self.state["joints"].values(columns)
            return _Goals(position, orientation, *self.chain.forward(joints))
        moves, components = self.action["position"].values(columns), self.action["rotation"]
        if components.form == "euler_difference":
            goal = Rotation.from_euler("xyz", orientation.as_euler("xyz") + components.values(columns))
            turns = goal * orientation.inv()
        else:
            turns = components.rotations(columns)
        if self.kind == "target":
            return _Goals(position, orientation, moves, turns)
        if self.frame == "hand":
            moves, turns = orientation.apply(moves), orientation * turns * orientation.inv()
        return _Deltas(moves, turns)


class _Goals:
    """Motions to a goal pose: goal [T, 3] and T rotations are to be reached by the next frame."""

    def __init__(self, position: np.ndarray, orientation: Rotation, goal: np.ndarray, turned: Rotation):
        self._position, self._orientation, self._goal, self._turned = position, orientation, goal, turned

    def between(self, first: int, last: int, share: float) -> tuple[np.ndarray, Rotation]:
        """The motion from frame `first` until `share` of the motion of frame `last` is done."""
        goal, turned = self._goal[last], self._turned[last]
        if share < 1:
            before = (
                (self._position[first], self._orientation[first])
                if last == first
                else (self._goal[last - 1], self._turned[last - 1])
            )
            goal = before[0] + share * (goal - before[0])
            turned = Slerp([0, 1], Rotation.concatenate([before[1], turned]))(share)
        return goal - self._position[first], turned * self._orientation[first].inv()


class _Deltas:
    """Motions in the base frame: moves [T, 3] and T rotations, each of one frame."""

    def __init__(self, moves: np.ndarray, turns: Rotation):
        self._moves, self._turns = moves, turns

    def between(self, first: int, last: int, share: float) -> tuple[np.ndarray, Rotation]:
        """As `_Goals.between`."""
        move = self._moves[first:last].sum(axis=0) + share * self._moves[last]
        turn = self._turns[last]
        turn = turn if share == 1 else Rotation.from_rotvec(share * turn.as_rotvec())
        for index in range(last - 1, first - 1, -1):
            turn = turn * self._turns[index]
        return move, turn


def reached(times: np.ndarray, rows: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
    """How far the motions of the frames get within one control period from each of `rows`.

    times: f64[T] s. -> last i64[S]: the frame whose motion is under way at the end; share f64[S]: the part of
    that motion that is done, 1 at its end. The motion of a frame lasts until the next one; that of the last
    frame as long as the others.
    """
    gap = float(np.median(np.diff(times))) if len(times) > 1 else period
    ends = np.append(times[1:], times[-1] + gap)
    wanted = times[rows] + period
    # A share that is off by rounding only counts as a whole.
    last = np.minimum(np.searchsorted(ends, wanted - 0.01 * gap), len(times) - 1)
    last = np.maximum(last, rows)
    share = (wanted - times[last]) / (ends[last] - times[last])
    return last, np.where(share > 0.99, 1.0, np.clip(share, 0.0, 1.0))


def _after(length: int) -> np.ndarray:
    return np.minimum(np.arange(1, length + 1), length - 1)
