"""The commands of an episode as functions of time: the active source, the mean twist of a period, the
gripper's command.

The rules are those of the robot's gate (docs/explanation/safety.md): teleoperation takes precedence over the
policy; a command holds until the next one and expires after 1.5 control periods; a command that is not finite
means rest. Times are int nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

COMMAND_SOURCES = ("teleop", "policy")
"""Sources of commands, the highest priority first: topics command/<source>/twist and
command/<source>/gripper.
"""
EXPIRY_PERIODS = 1.5


@dataclass(frozen=True)
class Commands:
    """The commands of one source.

    sent: i64[n] ns, twist: f64[n, 6] m/s and rad/s; sent_gripper: i64[m] ns, closure: f64[m].
    """

    sent: np.ndarray
    twist: np.ndarray
    sent_gripper: np.ndarray
    closure: np.ndarray

    @classmethod
    def from_messages(
        cls, twists: Sequence[tuple[int, Sequence[float]]], grippers: Sequence[tuple[int, float]]
    ) -> Commands:
        """twists, grippers: (sent, values) in any order."""
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

    def index_at(self, times: np.ndarray, expiry: int) -> np.ndarray:
        """Index of the command that holds at each time; -1 where there is none or it has expired."""
        index = np.searchsorted(self.sent, times, "right") - 1
        alive = (
            (index >= 0) & (times < self.sent[np.maximum(index, 0)] + expiry)
            if len(self.sent)
            else np.zeros(len(times), bool)
        )
        return np.where(alive, index, -1)


def mean_twist(commands: Mapping[str, Commands], starts: np.ndarray, period: int) -> np.ndarray:
    """f64[T, 6]: the mean of the active twist over each [start, start + period); rest counts as zero."""
    expiry = round(EXPIRY_PERIODS * period)
    edges = [starts, starts + period] + [
        part for source in commands.values() for part in (source.sent, source.sent + expiry)
    ]
    edges = np.unique(np.concatenate(edges))
    edges = edges[(edges >= starts[0]) & (edges <= starts[-1] + period)]
    begins, share = edges[:-1], np.diff(edges) / period
    value = np.zeros((len(begins), 6))
    for name in reversed(COMMAND_SOURCES):
        if name in commands:
            index = commands[name].index_at(begins, expiry)
            value[index >= 0] = commands[name].twist[index[index >= 0]]
    mean = np.zeros((len(starts), 6))
    np.add.at(mean, np.searchsorted(starts, begins, "right") - 1, value * share[:, None])
    return mean


def gripper_closure(commands: Mapping[str, Commands], starts: np.ndarray, period: int) -> np.ndarray:
    """f64[T]: the newest gripper command in the middle of each period, 0 open .. 1 closed; NaN before the
    first one.

    The middle, because a gripper command is sent shortly after its twist. The policy's commands count only
    while teleoperation is not active.
    """
    expiry, times, values = round(EXPIRY_PERIODS * period), [], []
    for name, source in commands.items():
        usable = np.ones(len(source.sent_gripper), bool)
        for higher in COMMAND_SOURCES[: COMMAND_SOURCES.index(name)]:
            if higher in commands:
                usable &= commands[higher].index_at(source.sent_gripper, expiry) < 0
        times.append(source.sent_gripper[usable])
        values.append(source.closure[usable])
    times, values = np.concatenate(times), np.concatenate(values)
    order = np.argsort(times, kind="stable")
    index = np.searchsorted(times[order], starts + period // 2, "right") - 1
    return np.append(values[order], np.nan)[np.where(index >= 0, index, -1)]


def teleoperated(commands: Mapping[str, Commands], starts: np.ndarray, period: int) -> np.ndarray:
    """bool[T]: whether a teleoperation command was active in the middle of each period, including the final
    one for rest.
    """
    if "teleop" not in commands:
        return np.zeros(len(starts), bool)
    return commands["teleop"].index_at(starts + period // 2, round(EXPIRY_PERIODS * period)) >= 0


def true_spans(mask: np.ndarray) -> list[list[int]]:
    """bool[T] -> [first, end) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(mask, np.int8), [0]])))
    return edges.reshape(-1, 2).tolist()
