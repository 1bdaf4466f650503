"""Outliers among episodes: figures of each episode, and which of them differ from the others of its task.

A figure is compared with the median of its task. The unit is the median absolute deviation, scaled to a
standard deviation, but not less than a floor, so that uniform demonstrations give no false alarms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from gr1_core.rig import Rig

IDLE_M, IDLE_RAD = 0.005, 0.05
"""An arm that stays this close to its first (last) pose, with the same gripper command, is idle."""
FLICKER_S = 0.5
"""A gripper command that is taken back within this time is flicker."""
SAME_M, SAME_GREY = 0.01, 6
"""Near-duplicates: points of the path and cells of the first frames closer than this (m, grey levels)."""
LIMIT = 4.0
"""Deviations from the median from which a figure is an outlier."""
_MIN_GROUP = 5
_PATH_POINTS = 16
_DUPLICATE, _WRONG_GRIPPER, _UNUSABLE = 2.5, 1.5, 100.0


@dataclass(frozen=True)
class EpisodeFigures:
    """One episode.

    seconds: of its control steps. path_m: length of the hand's path. jerk: RMS of the commanded velocity's
    second derivative, m/s^3. idle_start_s, idle_end_s: without motion. end: last position of the hand, m;
    end_gripper: +1 open, -1 closed. flicker: gripper commands taken back within FLICKER_S. saturated, lost,
    repeated: shares of steps at the rig's speed limit, of frames or steps that are missing, of steps with
    the frame of the step before. path: 16 points, m. grey: 8x8 grey levels of the first frames of all
    cameras; may be empty. problem: why there are no figures; all others are 0 then.
    """

    name: str
    task: str
    seconds: float = 0.0
    path_m: float = 0.0
    jerk: float = 0.0
    idle_start_s: float = 0.0
    idle_end_s: float = 0.0
    end: tuple[float, ...] = (0.0, 0.0, 0.0)
    end_gripper: float = 0.0
    flicker: int = 0
    saturated: float = 0.0
    lost: float = 0.0
    repeated: float = 0.0
    path: tuple[tuple[float, ...], ...] = ()
    grey: tuple[int, ...] = ()
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EpisodeFigures:
        plain = dict(values)
        plain["end"], plain["grey"] = tuple(plain["end"]), tuple(plain["grey"])
        plain["path"] = tuple(tuple(point) for point in plain["path"])
        return cls(**plain)


@dataclass(frozen=True)
class Outlier:
    """One episode that differs.

    index: in the ranked sequence. score: 1 is the limit, larger is worse. reasons: texts with numbers, the
    worst first.
    """

    index: int
    name: str
    score: float
    reasons: tuple[str, ...]


def episode_figures(
    name: str,
    task: str,
    state: np.ndarray,
    action: np.ndarray,
    rig: Rig,
    lost: float = 0.0,
    repeated: float = 0.0,
    grey: Sequence[int] = (),
) -> EpisodeFigures:
    """Figures of one episode. state, action: f32[T, 7] as in a dataset, T >= 1."""
    position = state[:, :3].astype(np.float64)
    moved = np.linalg.norm(np.diff(position, axis=0), axis=1)
    gripper = np.sign(action[:, 6])
    velocity = action[:, :3].astype(np.float64) * rig.action.translation_scale / rig.period
    jerk = np.diff(velocity, 2, axis=0) / rig.period**2
    linear = np.linalg.norm(velocity, axis=1) / rig.limits.linear_speed
    turning = action[:, 3:6].astype(np.float64) * rig.action.rotation_scale / rig.period
    angular = np.linalg.norm(turning, axis=1) / rig.limits.angular_speed
    changes = np.flatnonzero(np.diff(gripper) != 0)
    at = np.linspace(0, len(position) - 1, _PATH_POINTS)
    path = np.stack([np.interp(at, np.arange(len(position)), axis) for axis in position.T], axis=1)
    return EpisodeFigures(
        name=name,
        task=task,
        seconds=len(state) * rig.period,
        path_m=float(moved.sum()),
        jerk=float(np.sqrt((jerk**2).sum(1).mean())) if len(jerk) else 0.0,
        idle_start_s=_idle(state, gripper) * rig.period,
        idle_end_s=_idle(state[::-1], gripper[::-1]) * rig.period,
        end=tuple(position[-1].round(4).tolist()),
        end_gripper=float(gripper[-1]),
        flicker=int((np.diff(changes) * rig.period <= FLICKER_S).sum()),
        saturated=float((np.maximum(linear, angular) >= 0.99).mean()),
        lost=float(lost),
        repeated=float(repeated),
        path=tuple(map(tuple, path.round(4).tolist())),
        grey=tuple(grey),
    )


def rank_outliers(
    figures: Sequence[EpisodeFigures], duplicates: Sequence[Sequence[int]] | None = None
) -> list[Outlier]:
    """The episodes that differ from the others of their task, the worst first.

    duplicates: groups of indices that are nearly the same; None: found here. Tasks with fewer than 5
    episodes are compared with all episodes, but not in their end pose.
    """
    found: dict[int, list[tuple[float, str]]] = defaultdict(list)
    usable = [index for index, each in enumerate(figures) if not each.problem]
    for index, each in enumerate(figures):
        if each.problem:
            found[index].append((_UNUSABLE, each.problem))
    groups: dict[str, list[int]] = defaultdict(list)
    for index in usable:
        groups[figures[index].task].append(index)
    for members in groups.values():
        among = members if len(members) >= _MIN_GROUP else usable
        if len(among) >= _MIN_GROUP:
            _compare(figures, members, among, found)
        if len(members) >= _MIN_GROUP:
            _compare_ends(figures, members, found)
    for group in near_duplicates(figures) if duplicates is None else duplicates:
        ordered = sorted(group)
        for index in ordered[1:]:
            found[index].append((_DUPLICATE, f"nearly the same as {figures[ordered[0]].name}"))
    ranked = [_outlier(figures, index, reasons) for index, reasons in found.items()]
    return sorted(ranked, key=lambda outlier: (-outlier.score, outlier.index))


def near_duplicates(figures: Sequence[EpisodeFigures]) -> list[list[int]]:
    """Groups of indices with nearly the same path and, where known, first frames."""
    kept = [index for index, each in enumerate(figures) if each.path]
    groups: list[list[int]] = []
    if len(kept) < 2:
        return groups
    paths = np.stack([np.ravel(figures[index].path) for index in kept]) / SAME_M
    member: dict[int, list[int]] = {}
    for one, other in sorted(KDTree(paths).query_pairs(1.0, p=np.inf)):
        first, second = kept[one], kept[other]
        if not _same_view(figures[first].grey, figures[second].grey):
            continue
        group = member.get(first) or member.get(second)
        if group is None:
            group = []
            groups.append(group)
        for index in (first, second):
            if index not in group:
                group.append(index)
            member[index] = group
    return groups


def _same_view(one: Sequence[int], other: Sequence[int]) -> bool:
    if len(one) != len(other):
        return False
    return not one or int(np.abs(np.subtract(one, other)).max()) <= SAME_GREY


def _idle(state: np.ndarray, gripper: np.ndarray) -> int:
    """Number of steps before the hand leaves its first pose or the gripper's command changes."""
    away = np.linalg.norm(state[:, :3] - state[0, :3], axis=1) > IDLE_M
    turn = (state[:, 3:6] - state[0, 3:6] + np.pi) % (2 * np.pi) - np.pi
    away |= (np.abs(turn) > IDLE_RAD).any(1) | (gripper != gripper[0])
    return int(away.argmax()) if away.any() else len(state)


# figure, text of the reason, floor of the unit (absolute; share of the median), whether low values count
_COMPARED = (
    ("seconds", "{value:.1f} s long, usual {usual:.1f} s", 0.5, 0.12, True),
    ("path_m", "path of {value:.2f} m, usual {usual:.2f} m", 0.02, 0.12, True),
    ("jerk", "jerk {value:.1f} m/s^3, usual {usual:.1f}", 0.2, 0.15, False),
    ("idle_start_s", "idle for {value:.1f} s at the beginning, usual {usual:.1f} s", 0.25, 0.0, False),
    ("idle_end_s", "idle for {value:.1f} s at the end, usual {usual:.1f} s", 0.25, 0.0, False),
    ("flicker", "gripper flickers {value:.0f} times, usual {usual:.0f}", 0.25, 0.0, False),
    ("saturated", "{percent:.0f} % of the steps at the speed limit, usual {common:.0f} %", 0.03, 0.0, False),
    ("lost", "{percent:.0f} % of the frames missing, usual {common:.0f} %", 0.01, 0.0, False),
    ("repeated", "{percent:.0f} % of the steps repeat a frame, usual {common:.0f} %", 0.03, 0.0, False),
)


def _compare(
    figures: Sequence[EpisodeFigures],
    members: Sequence[int],
    among: Sequence[int],
    found: dict[int, list[tuple[float, str]]],
) -> None:
    for name, text, floor, share, low_counts in _COMPARED:
        usual, unit = _usual(np.array([getattr(figures[index], name) for index in among]), floor, share)
        for index in members:
            value = getattr(figures[index], name)
            excess = (abs(value - usual) if low_counts else value - usual) / unit / LIMIT
            if excess >= 1.0:
                shown = text.format(value=value, usual=usual, percent=100 * value, common=100 * usual)
                found[index].append((excess, shown))


def _compare_ends(
    figures: Sequence[EpisodeFigures], members: Sequence[int], found: dict[int, list[tuple[float, str]]]
) -> None:
    ends = np.array([figures[index].end for index in members])
    distance = np.linalg.norm(ends - np.median(ends, 0), axis=1)
    usual, unit = _usual(distance, 0.015, 0.0)
    gripper = np.array([figures[index].end_gripper for index in members])
    common = 1.0 if (gripper > 0).mean() >= 0.5 else -1.0
    is_rule = (gripper == common).mean() >= 0.8
    for index, away, closed in zip(members, distance, gripper):
        excess = (away - usual) / unit / LIMIT
        if excess >= 1.0:
            found[index].append(
                (excess, f"ends {100 * away:.0f} cm from the usual place, others {100 * usual:.0f} cm")
            )
        if is_rule and closed != common:
            words = ("open", "closed") if closed > 0 else ("closed", "open")
            found[index].append((_WRONG_GRIPPER, f"ends with the gripper {words[0]}, others {words[1]}"))


def _usual(values: np.ndarray, floor: float, share: float) -> tuple[float, float]:
    """(median, unit of deviations)."""
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return middle, max(spread, floor, share * abs(middle))


def _outlier(figures: Sequence[EpisodeFigures], index: int, reasons: Sequence[tuple[float, str]]) -> Outlier:
    ordered = sorted(reasons, key=lambda reason: -reason[0])
    # The worst reason decides; others break ties.
    score = ordered[0][0] + 0.1 * sum(min(value, 3.0) for value, _ in ordered[1:])
    return Outlier(index, figures[index].name, round(score, 2), tuple(text for _, text in ordered))
