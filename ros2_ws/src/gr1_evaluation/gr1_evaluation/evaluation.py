"""The trials of an evaluation, in their order, and their results. ROS-free."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from gr1_bringup.arguments import SettingError
from gr1_core.eval.wilson import wilson
from gr1_core.plural import plural

SECONDS = 20.0
"""A trial that lasts longer has failed, as in `gr1 evaluate sim`."""
_SMALL_WORDS = {"a", "an", "the", "please"}


@dataclass(frozen=True)
class Trial:
    """scene, seed: the table's layout. task: the one whose success counts; empty: the instruction is no
    task's, no outcome.

    instruction: empty: the scene's own. seconds: simulated seconds after which the trial has failed.
    """

    scene: str
    seed: int
    task: str
    instruction: str = ""
    seconds: float = SECONDS


@dataclass(frozen=True)
class Result:
    """instruction: the published one. seconds: simulated, from the policy's activation."""

    trial: Trial
    instruction: str
    success: bool
    seconds: float


def parse(what: str, trials: int | None, seed: int | None) -> Evaluation:
    """`tasks`, task names a,b (in turn, each round with the next seed) or a suite of `gr1 evaluate sim`.
    Raises SettingError.

    trials: how many in all; None: a suite's 100, tasks without end. seed: the first; None: one that no
    demonstration used.
    """
    from gr1_core.sim import TASKS, suites

    seed = suites.FIRST_TEST_SEED if seed is None else seed
    if what in suites.SUITES:
        try:
            listed = suites.trials(what, trials or 100, seed)
        except suites.SuiteError as error:
            raise SettingError(f"evaluate: {error}") from error
        return Evaluation(_suite_trials(what, listed), len(listed), seed)
    names = list(TASKS) if what == "tasks" else what.split(",")
    if unknown := [name for name in names if name not in TASKS]:
        known = f"tasks; one or more of {', '.join(TASKS)}; a suite: {', '.join(suites.SUITES)}"
        raise SettingError(f"evaluate: '{unknown[0]}' is not one of {known}")
    endless = (Trial(name, seed + turn, name) for turn in count() for name in names)
    return Evaluation(islice(endless, trials) if trials else endless, trials, seed)


def _suite_trials(suite: str, listed: Iterable) -> Iterator[Trial]:
    from gr1_core.sim.objects.catalogue import STANDARD_OBJECTS

    if any(one.objects != STANDARD_OBJECTS for one in listed):
        raise SettingError(
            f"evaluate: suite '{suite}' has other objects on the table than the stack's simulated rig: use "
            f"`gr1 evaluate sim --suites {suite}`"
        )
    if any(one.event or one.following for one in listed):
        raise SettingError(
            f"evaluate: suite '{suite}' has events or several instructions per episode, which the stack "
            f"cannot play: use `gr1 evaluate sim --suites {suite}`"
        )
    return (Trial(one.scene, one.seed, one.task, one.instruction) for one in listed)


def task_of(instruction: str) -> str:
    """The task with an instruction of these words, apart from case, punctuation and articles; empty if there
    is none.
    """
    from gr1_core.sim import TASKS

    words = _words(instruction)
    fits = (
        task.name
        for task in TASKS.values()
        for known in (*task.instructions, *task.held_out)
        if _words(known) == words
    )
    return next(fits, "")


def _words(instruction: str) -> Counter[str]:
    return Counter(word for word in re.findall(r"\w+", instruction.lower()) if word not in _SMALL_WORDS)


class Evaluation:
    """The listed trials in turn, or those of a typed instruction, and their results. Used from any thread.

    number: of the listed trials; None: no end. seed: the first, also of the tables for typed instructions.
    """

    def __init__(self, listed: Iterator[Trial], number: int | None, seed: int):
        self.number, self.seed = number, seed
        self._listed, self._seeds = listed, count(seed)
        self._lock = threading.Lock()
        self._requested, self._interrupted, self._scene = "", False, ""
        self._results: list[Result] = []
        self._skipped = 0

    def next(self) -> Trial | None:
        """The next trial; None at the end of the list."""
        with self._lock:
            self._interrupted = False
            if self._requested:
                task = task_of(self._requested)
                return Trial(
                    task or self._scene or "put_eggplant_on_plate", next(self._seeds), task, self._requested
                )
            trial = next(self._listed, None)
            self._scene = trial.scene if trial else ""
            return trial

    def request(self, instruction: str) -> None:
        """Ends the running trial, uncounted. An instruction is tried on table after table; an empty one
        resumes the list.
        """
        with self._lock:
            self._requested, self._interrupted = " ".join(instruction.split()), True

    @property
    def requested(self) -> str:
        with self._lock:
            return self._requested

    @property
    def interrupted(self) -> bool:
        """Whether the trial that `next` gave last was ended by a typed instruction."""
        with self._lock:
            return self._interrupted

    def add(self, result: Result) -> None:
        """Counts a trial with an outcome."""
        if result.trial.task:
            with self._lock:
                self._results.append(result)

    def skip(self, trial: Trial) -> None:
        """Counts a trial that was interrupted before it had an outcome."""
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
        """Successes of trials, with the 95 % interval."""
        results = self.results
        if not results:
            return "no trial has an outcome"
        won = [result.seconds for result in results if result.success]
        low, high = wilson(len(won), len(results))
        pace = f", {np.mean(won):.1f} s on average" if won else ""
        share = f"{len(won)} of {plural(len(results), 'trial')} succeeded"
        return f"{share} (95 % interval {low:.2f} to {high:.2f}){pace}"

    def document(self, latencies: Iterable[float], acted: float) -> str:
        """One line of JSON. latencies: s from each step's older frame to its command. acted: s in which the
        policy was active.
        """
        tally, ms = self.tally(), 1e3 * np.array(list(latencies))
        won, tried = (sum(part) for part in zip(*tally.values())) if tally else (0, 0)
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
