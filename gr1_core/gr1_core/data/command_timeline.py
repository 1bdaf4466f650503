"""What was commanded in an episode, as a function of time: who was in charge, the mean twist of a period, the gripper's command.

The same rules as the robot's gate (docs/explanation/safety.md): teleoperation before the policy, a command holds until the next one and expires after
1.5 control periods, what is not finite is rest. Times are int nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SOURCES = ("teleop", "policy")
"""Who commands, the highest priority first: topics command/<source>/twist and command/<source>/gripper."""
EXPIRY = 1.5


@dataclass(frozen=True)
class Commands:
    """One source's commands as they were sent: sent i64[n] ns, twist f64[n, 6] m/s and rad/s; sent_gripper i64[m], closure f64[m]."""

    sent: np.ndarray
    twist: np.ndarray
    sent_gripper: np.ndarray
    closure: np.ndarray

    @classmethod
    def of(
        cls, twists: Sequence[tuple[int, Sequence[float]]], grippers: Sequence[tuple[int, float]]
    ) -> Commands:
        """From (sent, values) in any order."""
        twists, grippers = (
            sorted(twists, key=lambda item: item[0]),
            sorted(grippers, key=lambda item: item[0]),
        )
        twist = np.array([values for _, values in twists], np.float64).reshape(-1, 6)
        twist[~np.isfinite(twist).all(1)] = 0.0
        closure = np.array([value for _, value in grippers], np.float64)
        usable = np.isfinite(closure)
        sent, sent_gripper = (np.array([time for time, _ in items], np.int64) for items in (twists, grippers))
        return cls(sent, twist, sent_gripper[usable], closure[usable])

    def at(self, times: np.ndarray, expiry: int) -> np.ndarray:
        """Index of the command that holds at each time, -1 where there is none or it has expired."""
        index = np.searchsorted(self.sent, times, "right") - 1
        alive = (
            (index >= 0) & (times < self.sent[np.maximum(index, 0)] + expiry)
            if len(self.sent)
            else np.zeros(len(times), bool)
        )
        return np.where(alive, index, -1)


def mean_twist(commands: Mapping[str, Commands], starts: np.ndarray, period: int) -> np.ndarray:
    """f64[T, 6]: the mean over each [start, start + period) of the twist that was in charge; rest counts as zero."""
    expiry = round(EXPIRY * period)
    edges = [starts, starts + period] + [
        part for source in commands.values() for part in (source.sent, source.sent + expiry)
    ]
    edges = np.unique(np.concatenate(edges))
    edges = edges[(edges >= starts[0]) & (edges <= starts[-1] + period)]
    begins, share = edges[:-1], np.diff(edges) / period
    value = np.zeros((len(begins), 6))
    for name in reversed(SOURCES):
        if name in commands:
            index = commands[name].at(begins, expiry)
            value[index >= 0] = commands[name].twist[index[index >= 0]]
    mean = np.zeros((len(starts), 6))
    np.add.at(mean, np.searchsorted(starts, begins, "right") - 1, value * share[:, None])
    return mean


def closure(commands: Mapping[str, Commands], starts: np.ndarray, period: int) -> np.ndarray:
    """f64[T]: the newest gripper command in the middle of each period, 0 open .. 1 closed; NaN before the first one.

    The middle, since a gripper command follows its twist by a moment. The policy's count only while teleoperation is not in charge.
    """
    expiry, times, values = round(EXPIRY * period), [], []
    for name, source in commands.items():
        heard = np.ones(len(source.sent_gripper), bool)
        for higher in SOURCES[: SOURCES.index(name)]:
            if higher in commands:
                heard &= commands[higher].at(source.sent_gripper, expiry) < 0
        times.append(source.sent_gripper[heard])
        values.append(source.closure[heard])
    times, values = np.concatenate(times), np.concatenate(values)
    order = np.argsort(times, kind="stable")
    index = np.searchsorted(times[order], starts + period // 2, "right") - 1
    return np.append(values[order], np.nan)[np.where(index >= 0, index, -1)]


def by_hand(commands: Mapping[str, Commands], starts: np.ndarray, period: int) -> np.ndarray:
    """bool[T]: whether a person's command was in charge in the middle of each period, the one for rest after letting go included."""
    if "teleop" not in commands:
        return np.zeros(len(starts), bool)
    return commands["teleop"].at(starts + period // 2, round(EXPIRY * period)) >= 0


def spans(mask: np.ndarray) -> list[list[int]]:
    """bool[T] -> [first, end) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(mask, np.int8), [0]])))
    return edges.reshape(-1, 2).tolist()
