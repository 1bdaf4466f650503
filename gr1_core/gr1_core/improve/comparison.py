"""A and B on the same layouts in the twin, or on the same held-out bags; with a paired interval."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from gr1_core import atomic_write
from gr1_core.data.bag import Bag
from gr1_core.eval import trials as trial_pool
from gr1_core.eval.batch import BatchPolicy
from gr1_core.eval.checkpoint_records import fingerprint
from gr1_core.eval.disagreement import action_std, summarize, watch
from gr1_core.eval.environment import TrialSettings, require_simulated_rig
from gr1_core.eval.paired import Difference, mean_difference, rate_difference
from gr1_core.eval.wilson import wilson
from gr1_core.improve.data import ImproveError, Prepared
from gr1_core.model import checkpoint
from gr1_core.policy import Policy
from gr1_core.progress import ProgressBar
from gr1_core.sim.suites import Trial, trials

_OUTCOMES = "evaluation.jsonl"
_NOT_COMPARABLE = (ValueError, OSError)


@dataclass(frozen=True)
class Comparison:
    """where: "twin" (success rates) or "held-out" (errors in standard deviations of the action).

    a, b: rate or mean error. better: of B; None: not decided.
    """

    where: str
    a: float
    b: float
    difference: Difference
    better: bool | None
    lines: tuple[str, ...]

    def to_dict(self) -> dict:
        row = {"evaluated": self.where, "a": self.a, "b": self.b, "better": self.better}
        difference = asdict(self.difference)
        return row | {"pairs": difference.pop("pairs"), "difference": difference.pop("value")} | difference


def in_twin(
    folders: Sequence[Path],
    suites: Sequence[str],
    tasks: Sequence[str],
    episodes: int,
    seed: int,
    seconds: float,
    workers: int,
    work: Path,
) -> Comparison:
    """Both checkpoints play the same trials. Finished ones are kept in `work`.

    Raises SuiteError, SimulationError, PolicyError or CheckpointError.
    """
    chosen = [trial for suite in suites for trial in trials(suite, episodes, seed, tasks)]
    results = [_play(folder, chosen, seconds, workers, work) for folder in folders]
    lines = []
    for suite in suites:
        numbers = [number for number, trial in enumerate(chosen) if trial.suite == suite]
        counts = [sum(result[number] for number in numbers) for result in results]
        lines.append(f"  {suite}: " + ", ".join(_rate(*row, len(numbers)) for row in zip("AB", counts)))
    found = rate_difference(*results)
    rates = [sum(result) / len(chosen) for result in results]
    return Comparison("twin", *rates, found, _better(found.decided), tuple(lines))


def on_held_out(folders: Sequence[Path], prepared: Prepared) -> Comparison:
    """The errors of both on the demonstrator's steps of the new bags that B was not trained on.

    Raises ImproveError where there is none.
    """
    held = ((checkpoint.read_training(folders[1]) or {}).get("data") or {}).get("held_out") or {}
    numbers = [number - prepared.first for number in held.get("episodes", []) if number >= prepared.first]
    bags = [Bag(prepared.bags[number]) for number in numbers]
    figures: list[list[float]] = [[], []]
    if bags:
        std = action_std(folders[1], bags)
        policies = [Policy.from_pretrained(folder) for folder in folders]
        with ProgressBar("comparing", len(bags)) as bar:
            for bag in bags:
                bar.advance()
                try:
                    found = [summarize(watch(each, bag, False), std, bag.instruction) for each in policies]
                except _NOT_COMPARABLE as error:
                    print(f"{bag.name}: not compared: {error}")
                    continue
                for row, one in zip(figures, found):
                    row.append(one.figure)
    if not figures[0]:
        raise ImproveError(
            "none of the new bags was held out of the training: record more of them, or set held_out=0.2"
        )
    difference = mean_difference(*figures)
    means = [sum(row) / len(row) for row in figures]
    lines = (
        f"  error on {len(figures[0])} held-out episodes, standard deviations of the action: "
        f"A {means[0]:.3f}, B {means[1]:.3f}",
    )
    return Comparison("held-out", *means, difference, _better(-difference.decided), lines)


def verdict(found: Comparison) -> str:
    """B - A with its interval, and what follows, as one line."""
    difference = found.difference
    interval = f"95 % interval {difference.low:+.3f} .. {difference.high:+.3f}"
    said = {
        True: "B is better",
        False: "B is worse",
        None: "not decided: more episodes narrow the interval",
    }[found.better]
    what = "success" if found.where == "twin" else "error"
    return f"B - A: {what} {difference.value:+.3f}, {interval}, {difference.pairs} pairs: {said}"


def _better(sign: int) -> bool | None:
    return None if sign == 0 else sign > 0


def _rate(name: str, successes: int, number: int) -> str:
    low, high = wilson(successes, number)
    return f"{name} {successes} of {number} ({low:.2f} .. {high:.2f})"


def _play(folder: Path, chosen: Sequence[Trial], seconds: float, workers: int, work: Path) -> list[bool]:
    """The success of each trial, in their order."""
    weights, path = fingerprint(folder), work / _OUTCOMES
    known = {}
    if path.is_file():
        lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
        atomic_write.write_text(
            path, "".join(f"{line}\n" for line in lines)
        )  # a kill may have cut the last one
        known = {tuple(row["trial"]): row["success"] for row in map(json.loads, lines)}
    keys = [_key(weights, trial, seconds) for trial in chosen]
    missing = [trial for trial, key in zip(chosen, keys) if key not in known]
    if missing:
        # The simulated rigs need the cores; a small model gains less from a second thread than they lose.
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 4))
        policy = BatchPolicy.from_pretrained(folder)
        require_simulated_rig(policy.rig)
        settings = TrialSettings(policy.rig, seconds, 0, expert=False)
        with ProgressBar(f"playing {folder.name}", len(chosen), len(chosen) - len(missing)) as bar:
            for outcome in trial_pool.run_trials(missing, settings, policy, workers):
                key = _key(weights, outcome.trial, seconds)
                known[key] = outcome.success
                with open(path, "a") as file:
                    file.write(json.dumps({"trial": key, "success": outcome.success}) + "\n")
                bar.advance()
    return [known[key] for key in keys]


def _key(weights: str, trial: Trial, seconds: float) -> tuple:
    return weights, trial.suite, trial.scene, trial.task, trial.seed, seconds
