"""Figures of a dataset for the report, collected while its episodes are merged: one row per episode, and
totals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from gr1_core.data import metadata
from gr1_core.data.convert.sources.source import Episode
from gr1_core.rig import Rig

STILL_M, STILL_RAD = 0.005, 0.05
"""An episode that moves less than this, and whose gripper does nothing, is static."""
STILL_GREY = 2
"""Grey levels by which a video's first, middle and last frame must differ somewhere."""
SAME_M, SAME_GREY = 0.01, 6
"""Near-duplicates: all points of the path closer than this (metres, each axis), all cells of the first frames
(grey levels).
"""
JUMP_M, JUMP_SPEEDS = 0.05, 5.0
"""A step of the hand longer than this, and than this many times the rig's speed limit allows, is a jump."""
WINDOW = 10
"""Frames of a training window."""
_PATH_POINTS = 16
_MAX_COMPARED = 100_000
_MAX_PAIRS = 4_000_000
_TREE_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """One episode. moved, turned: path length of the hand in m and rad. grips: changes of the gripper's
    command.

    rest: share of steps at rest. path: f32[16, 3], points of the hand's path, m. grey: role -> u8[3, 64] of
    the first, middle and last frame. lost: messages expected but not received. outside: share of positions
    outside the rig's workspace. jumps: steps of the hand that no arm within the rig's limits can make. idle:
    the hand moves, and all actions are zero or the state itself. For videos all of these are 0 and path is
    None.
    """

    index: int
    name: str
    task: str
    outcome: str
    operator: str
    frames: int
    moved: float
    turned: float
    grips: int
    rest: float
    path: np.ndarray | None
    grey: Mapping[str, np.ndarray]
    problems: Sequence[str]
    lost: int
    repeated: int
    outside: float = 0.0
    jumps: int = 0
    idle: bool = False

    @property
    def static(self) -> bool:
        if self.path is None:
            return all(_range(frames) < STILL_GREY for frames in self.grey.values())
        return self.moved < STILL_M and self.turned < STILL_RAD and self.grips == 0

    @property
    def frozen(self) -> list[str]:
        """Cameras whose frames do not change although the arm moves."""
        return (
            []
            if self.path is None or self.static
            else [role for role, frames in self.grey.items() if _range(frames) == 0]
        )


def episode_row(
    index: int, episode: Episode, preview: Mapping[str, Any], rig: Rig | None = None
) -> EpisodeRow:
    """rig: whose workspace and speed limits the positions are compared with; None: with none."""
    info, state, action = episode.info, episode.state, episode.action
    motion = {"moved": 0.0, "turned": 0.0, "grips": 0, "rest": 0.0, "path": None}
    if state is not None:
        steps = np.diff(state[:, :6].astype(np.float64), axis=0)
        steps[:, 3:] = (steps[:, 3:] + np.pi) % (2 * np.pi) - np.pi
        motion = {
            "moved": float(np.linalg.norm(steps[:, :3], axis=1).sum()),
            "turned": float(np.linalg.norm(steps[:, 3:], axis=1).sum()),
            "grips": int((np.diff(action[:, 6]) != 0).sum()),
            "rest": float((np.abs(action[:, :6]) < 1e-6).all(1).mean()),
            "path": _resampled(state[:, :3]),
        }
        motion["idle"] = bool(info.get("action_is_state")) or motion["rest"] == 1.0
        motion["idle"] &= motion["moved"] >= STILL_M
        if rig is not None:
            low, high = np.array(rig.limits.workspace_min), np.array(rig.limits.workspace_max)
            inside = ((state[:, :3] >= low) & (state[:, :3] <= high)).all(1)
            reach = max(JUMP_M, JUMP_SPEEDS * rig.limits.linear_speed * rig.period)
            motion["outside"] = float(1 - inside.mean())
            motion["jumps"] = int((np.linalg.norm(steps[:, :3], axis=1) > reach).sum())
    return EpisodeRow(
        index=index,
        name=episode.name,
        task=episode.task,
        outcome=str(info.get("outcome", "")),
        operator=str(info.get("operator", "")),
        frames=len(next(iter(episode.images.values()))),
        grey={role: np.array(frames, np.uint8) for role, frames in preview["grey"].items()},
        problems=tuple(info.get("problems", ())),
        lost=sum(map(metadata.count_lost, info.get("streams", {}).values())),
        repeated=sum(info.get("repeated_frames", {}).values()),
        **motion,
    )


def near_duplicates(rows: Sequence[EpisodeRow]) -> list[list[EpisodeRow]]:
    """Groups of episodes that are nearly the same: same first frames and same path; videos: same first,
    middle and last frame.
    """
    rows = rows[:_MAX_COMPARED]
    if len(rows) < 2:
        return []
    pairs = _close_pairs(np.stack([_signature(each) for each in rows]).astype(np.float32))
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(rows), len(rows)))
    _, label = connected_components(links, directed=False)
    groups: dict[int, list[EpisodeRow]] = {}
    for each, group in zip(rows, label.tolist()):
        groups.setdefault(group, []).append(each)
    return [group for group in groups.values() if len(group) > 1]


@dataclass(frozen=True)
class ActionSaturation:
    """Shares of steps.

    linear, angular: at the rig's speed limits. above: beyond one of them. extreme: f64[6], at the largest
    value of an axis.
    """

    linear: float
    angular: float
    above: float
    extreme: np.ndarray


def action_saturation(action: np.ndarray, rig: Rig) -> ActionSaturation:
    """action f32[N, 7]."""
    linear = (
        np.linalg.norm(action[:, :3], axis=1)
        * rig.action.translation_scale
        / rig.period
        / rig.limits.linear_speed
    )
    angular = (
        np.linalg.norm(action[:, 3:6], axis=1)
        * rig.action.rotation_scale
        / rig.period
        / rig.limits.angular_speed
    )
    size = np.abs(action[:, :6])
    return ActionSaturation(
        linear=float((linear >= 0.99).mean()),
        angular=float((angular >= 0.99).mean()),
        above=float((np.maximum(linear, angular) > 1.01).mean()),
        extreme=(size >= 0.999 * np.maximum(size.max(0), 1e-9)).mean(0),
    )


class StreamTotals:
    """Rates and gaps of each topic over all episodes."""

    def __init__(self):
        self._topics: dict[str, dict[str, float]] = {}

    def add(self, episode: Episode) -> None:
        seconds = episode.info.get("seconds", 0)
        for topic, stream in episode.info.get("streams", {}).items():
            total = self._topics.setdefault(
                topic,
                dict.fromkeys(
                    (
                        "episodes",
                        "expected",
                        "received",
                        "gaps",
                        "longest_gap_ms",
                        "seconds",
                        "lost",
                        "lossy",
                    ),
                    0,
                ),
            )
            for name in ("expected", "received", "gaps"):
                total[name] += stream[name]
            total["longest_gap_ms"] = max(total["longest_gap_ms"], stream["longest_gap_ms"])
            total["seconds"] += seconds
            total["episodes"] += 1
            total["lost"] += metadata.count_lost(stream)
            total["lossy"] += metadata.count_lost(stream) > 0

    def values(self) -> dict[str, dict[str, float]]:
        """topic -> episodes, expected, received, lost, gaps, longest_gap_ms, seconds, lossy (episodes that
        lost some); sorted.
        """
        return dict(sorted(self._topics.items()))


def _close_pairs(signs: np.ndarray) -> np.ndarray:
    """i64[k, 2]: pairs of rows of f32[n, m] that differ by less than 1 everywhere.

    A tree over the columns with the largest spread finds candidates, which are then compared in full. If
    nearly all rows are alike, only neighbours in the order of these columns are compared, which still
    connects the groups.
    """
    columns = np.argsort(signs.std(0))[::-1][:_TREE_COLUMNS]
    tree = KDTree(signs[:, columns])
    if tree.count_neighbors(tree, 1.0, p=np.inf) > _MAX_PAIRS:
        order = np.lexsort(signs[:, columns].T)
        pairs = np.stack([order[:-1], order[1:]], 1)
    else:
        pairs = tree.query_pairs(1.0, p=np.inf, output_type="ndarray")
    same = [
        np.abs(signs[some[:, 0]] - signs[some[:, 1]]).max(1) < 1
        for some in np.array_split(pairs, len(pairs) // 10_000 + 1)
    ]
    return pairs[np.concatenate(same)]


def _signature(each: EpisodeRow) -> np.ndarray:
    """Two episodes are near-duplicates when these differ by less than 1 everywhere."""
    if each.path is None:
        return np.concatenate([np.ravel(frames) for frames in each.grey.values()]) / SAME_GREY
    first = np.concatenate([frames[0] for frames in each.grey.values()])
    return np.concatenate([each.path.ravel() / SAME_M, first / SAME_GREY])


def _resampled(path: np.ndarray) -> np.ndarray:
    at = np.linspace(0, len(path) - 1, _PATH_POINTS)
    return np.stack([np.interp(at, np.arange(len(path)), axis) for axis in path.T], axis=1).astype(np.float32)


def _range(frames: np.ndarray) -> int:
    return int(np.ptp(frames, axis=0).max())
