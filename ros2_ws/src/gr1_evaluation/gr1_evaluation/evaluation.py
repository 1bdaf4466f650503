"""What a policy is asked, in which order, and how it does: trials for a demonstration, or a column of `gr1 evaluate sim`. No ROS import."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from gr1_bringup.stack import SettingError
from gr1_core.eval.wilson import wilson

SECONDS = 20.0
"""A trial that lasts longer has failed, as in `gr1 evaluate sim`."""
_SMALL_WORDS = {"a", "an", "the", "please"}


@dataclass(frozen=True)
class Trial:
    """scene, seed: whose layout the table gets. task: the one that is judged; empty: none, nobody knows what the sentence asks for.

    sentence: what is said; empty: the words that the table comes with. seconds: simulated ones, after which it has failed.
    """

    scene: str
    seed: int
    task: str
    sentence: str = ""
    seconds: float = SECONDS


@dataclass(frozen=True)
class Result:
    """sentence: what was said. seconds: simulated, from the moment at which the policy was let go."""

    trial: Trial
    sentence: str
    success: bool
    seconds: float


def parse(what: str, trials: int | None, seed: int | None) -> Examination:
    """`tasks`, task names a,b (in turn, each round with the next seed) or a column of `gr1 evaluate sim`. Raises SettingError.

    trials: how many in all; None: a column's usual number, tasks without end. seed: the first; None: one that no demonstration has used.
    """
    from gr1_core.sim import TASKS, suites

    seed = suites.FIRST if seed is None else seed
    if what in suites.COLUMNS:
        try:
            listed = suites.trials(what, trials or 100, seed)
        except suites.ColumnError as error:
            raise SettingError(f"examine: {error}") from error
        return Examination(_standing(what, listed), len(listed), seed)
    names = list(TASKS) if what == "tasks" else what.split(",")
    if unknown := [name for name in names if name not in TASKS]:
        known = f"tasks; one or more of {', '.join(TASKS)}; a column: {', '.join(suites.COLUMNS)}"
        raise SettingError(f"examine: '{unknown[0]}' is not one of {known}")
    endless = (Trial(name, seed + turn, name) for turn in count() for name in names)
    return Examination(islice(endless, trials) if trials else endless, trials, seed)


def _standing(column: str, listed: Iterable) -> Iterator[Trial]:
    from gr1_core.sim.objects.catalogue import STANDARD

    if any(one.props != STANDARD for one in listed):
        raise SettingError(
            f"examine: column '{column}' has other things on the table than the stack's simulated rig: use `gr1 evaluate sim` for it"
        )
    return (Trial(one.scene, one.seed, one.task, one.instruction) for one in listed)


def recognise(sentence: str) -> str:
    """The task whose sentences hold these very words, capitals, commas and articles apart; empty if there is none."""
    from gr1_core.sim import TASKS

    words = _words(sentence)
    fits = (
        task.name
        for task in TASKS.values()
        for known in (*task.instructions, *task.held_out)
        if _words(known) == words
    )
    return next(fits, "")


def _words(sentence: str) -> Counter[str]:
    return Counter(word for word in re.findall(r"\w+", sentence.lower()) if word not in _SMALL_WORDS)


class Examination:
    """The trials in turn, or those of a sentence that somebody types, and their results. Used from any thread.

    number: of the listed trials; None: without end. seed: the first, also of the tables for what somebody types.
    """

    def __init__(self, listed: Iterator[Trial], number: int | None, seed: int):
        self.number, self.seed = number, seed
        self._listed, self._seeds = listed, count(seed)
        self._lock = threading.Lock()
        self._asked, self._cut, self._scene = "", False, ""
        self._results: list[Result] = []
        self._skipped = 0

    def next(self) -> Trial | None:
        """What to do next; None when the list has ended."""
        with self._lock:
            self._cut = False
            if self._asked:
                task = recognise(self._asked)
                return Trial(
                    task or self._scene or "put_eggplant_on_plate", next(self._seeds), task, self._asked
                )
            trial = next(self._listed, None)
            self._scene = trial.scene if trial else ""
            return trial

    def ask(self, sentence: str) -> None:
        """Ends the trial of this moment, uncounted. A sentence is tried on table after table; an empty one goes on with the list."""
        with self._lock:
            self._asked, self._cut = " ".join(sentence.split()), True

    @property
    def asked(self) -> str:
        with self._lock:
            return self._asked

    @property
    def cut(self) -> bool:
        """Whether the trial that `next` gave last has been ended by somebody's sentence."""
        with self._lock:
            return self._cut

    def add(self, result: Result) -> None:
        """Counts a trial that was judged."""
        if result.trial.task:
            with self._lock:
                self._results.append(result)

    def skip(self, trial: Trial) -> None:
        """Counts a trial that somebody has ended before it could be judged."""
        if trial.task:
            with self._lock:
                self._skipped += 1

    @property
    def results(self) -> list[Result]:
        with self._lock:
            return list(self._results)

    def tally(self) -> dict[str, tuple[int, int]]:
        """Task -> (successes, trials), in the order of their first trials."""
        tally: dict[str, tuple[int, int]] = {}
        for result in self.results:
            won, tried = tally.get(result.trial.task, (0, 0))
            tally[result.trial.task] = won + result.success, tried + 1
        return tally

    def summary(self) -> str:
        """Successes of trials, with the interval that such a count leaves open."""
        results = self.results
        if not results:
            return "no trial was judged"
        won = [result.seconds for result in results if result.success]
        low, high = wilson(len(won), len(results))
        pace = f", {np.mean(won):.1f} s on average" if won else ""
        return f"{len(won)} of {len(results)} trials succeeded (95 % interval {low:.2f} to {high:.2f}){pace}"

    def document(self, latencies: Iterable[float], acted: float) -> str:
        """One line of JSON. latencies: seconds from each step's older frame to its command. acted: seconds that the policy had the arm."""
        tally, ms = self.tally(), 1e3 * np.array(list(latencies))
        won, tried = (sum(column) for column in zip(*tally.values())) if tally else (0, 0)
        quantiles = {
            f"camera_to_command_p{q}_ms": round(float(np.percentile(ms, q)), 1) if len(ms) else None
            for q in (50, 99)
        }
        return json.dumps({
            **_row(won, tried), "skipped": self._skipped, "seed": self.seed,
            "commands": len(ms), "hz": round(len(ms) / acted, 2) if acted else None, **quantiles,
            "tasks": {task: _row(*row) for task, row in tally.items()},
        })  # fmt: skip


def _row(won: int, tried: int) -> dict[str, float]:
    low, high = wilson(won, tried)
    return {"episodes": tried, "successes": won, "low": round(low, 4), "high": round(high, 4)}
