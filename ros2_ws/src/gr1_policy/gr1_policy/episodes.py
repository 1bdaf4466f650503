"""Episodes of the simulated rig: which ones, when one is over, the table of their outcomes. ROS-free."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice

HELD = 5
"""Control steps in a row for which the task's test must hold."""


def plan(tasks: Sequence[str], first_seed: int, seeds: int, episodes: int) -> Iterator[tuple[str, int]]:
    """(task, seed): every task with the first seed, then with the next, `seeds` of them and over again;
    `episodes` in all, 0 = endless.
    """
    endless = ((task, first_seed + turn % seeds) for turn in count() for task in tasks)
    return islice(endless, episodes) if episodes else endless


@dataclass(frozen=True)
class EpisodePlan:
    """Every task with the first seed, then with the next, `seeds` of them and over again; `number` in all, 0
    = endless.

    timeout: simulated seconds after which an episode has failed.
    """

    tasks: Sequence[str]
    first_seed: int
    seeds: int
    number: int
    timeout: float

    def episodes(self) -> Iterator[tuple[str, int]]:
        """(task, seed) of each episode."""
        return plan(self.tasks, self.first_seed, self.seeds, self.number)


@dataclass
class Episode:
    """One attempt; `step` is called at every control step. `outcome` is None until it is over."""

    task: str
    seed: int
    timeout: float
    outcome: bool | None = None
    seconds: float = 0.0
    _held: int = 0

    def step(self, time: float, success: bool) -> None:
        """time: simulated seconds since the reset; success: the task's test at this step."""
        self.seconds = time
        self._held = self._held + 1 if success else 0
        if self._held >= HELD:
            self.outcome = True
        elif time > self.timeout:
            self.outcome = False


@dataclass
class Tally:
    """Finished episodes by task."""

    finished: list[Episode] = field(default_factory=list)

    def add(self, episode: Episode) -> None:
        self.finished.append(episode)

    @property
    def successes(self) -> int:
        return sum(bool(episode.outcome) for episode in self.finished)

    def table(self) -> str:
        """One line a task: successes of episodes, mean time of the successes, the seeds that failed."""
        lines = []
        for task in dict.fromkeys(episode.task for episode in self.finished):
            mine = [episode for episode in self.finished if episode.task == task]
            won = [episode.seconds for episode in mine if episode.outcome]
            lost = [str(episode.seed) for episode in mine if not episode.outcome]
            pace = f"{sum(won) / len(won):6.1f} s" if won else "       -"
            lines.append(
                f"{task:32s} {len(won):4d} / {len(mine):<4d} "
                f"{pace}{'   failed seeds: ' + ', '.join(lost) if lost else ''}"
            )
        return "\n".join(lines)

    def document(self) -> str:
        """One line of JSON: {"episodes", "successes", "tasks": {task: {"episodes", "successes"}}}."""
        tasks: dict[str, dict[str, int]] = {}
        for episode in self.finished:
            row = tasks.setdefault(episode.task, {"episodes": 0, "successes": 0})
            row["episodes"] += 1
            row["successes"] += bool(episode.outcome)
        return json.dumps({"episodes": len(self.finished), "successes": self.successes, "tasks": tasks})
