"""Results of trials in the twin: the JSON document, printed last and saved, and the printed tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from rich.console import Console
from rich.table import Table

from gr1_core.eval.chain_metrics import chain_rates
from gr1_core.eval.environment import Outcome
from gr1_core.eval.failures import FAILURE_KINDS
from gr1_core.eval.wilson import wilson
from gr1_core.sim.chains import CHAIN_LENGTH
from gr1_core.sim.suites import SUITES
from gr1_core.sim.tasks import TASKS

_CHANCE = (
    "categories: chance is one third in pick and put, where three objects are on the table; "
    "in take, the plate shows which object is meant"
)


def rate(hits: Iterable[bool]) -> dict:
    """{"episodes", "successes", "low", "high"}: low and high are the 95 % interval of Wilson's score."""
    hits = list(hits)
    low, high = wilson(sum(hits), len(hits))
    return {"episodes": len(hits), "successes": sum(hits), "low": round(low, 4), "high": round(high, 4)}


def document(outcomes: Sequence[Outcome]) -> dict:
    """{"suites": {suite: rate}, "tasks": {suite: {task: {"episodes", "successes"}}}}.

    A suite also has `seconds`, the median of its successes, and `failures`, their number by kind. In the swap
    suite an episode is a success if the named task is done; `unnamed` is the rate at which the scene's own
    task was done. The suite `chains` has the figures of `chain_rates` and `failures`; its tasks count
    instructions.
    """
    suites, tasks = {}, {}
    for suite in SUITES:
        of = [one for one in outcomes if one.trial.suite == suite]
        if not of:
            continue
        failures = Counter(one.failure for one in of if one.failure)
        failures = {"failures": {kind: failures[kind] for kind in FAILURE_KINDS if failures[kind]}}
        if suite == "chains":
            suites[suite] = chain_rates([one.completed for one in of], CHAIN_LENGTH) | failures
            tasks[suite] = _chain_counts(of)
            continue
        seconds = [one.seconds for one in of if one.success]
        median = {"seconds": round(float(np.median(seconds)), 2) if seconds else None}
        suites[suite] = rate(one.success for one in of) | median | failures
        if suite == "swap":
            suites[suite]["unnamed"] = rate(one.unnamed for one in of)
        names = sorted({one.trial.task for one in of})
        tasks[suite] = {name: _counts([one for one in of if one.trial.task == name]) for name in names}
    return {"suites": suites, "tasks": tasks}


def _counts(of: Sequence[Outcome]) -> dict:
    return {"episodes": len(of), "successes": sum(one.success for one in of)}


def _chain_counts(of: Sequence[Outcome]) -> dict:
    """Of each task, the instructions that were given and those that succeeded."""
    counts: dict[str, dict] = {}
    for one in of:
        for number, stage in enumerate(one.trial.stages()[: one.completed + 1]):
            row = counts.setdefault(stage.task, {"episodes": 0, "successes": 0})
            row["episodes"] += 1
            row["successes"] += number < one.completed
    return dict(sorted(counts.items()))


def episode_rows(outcomes: Sequence[Outcome]) -> list[dict]:
    """One dictionary per episode, for results.json."""
    order = {name: index for index, name in enumerate(SUITES)}
    rows = []
    for one in sorted(outcomes, key=lambda one: (order[one.trial.suite], one.trial.seed, one.trial.scene)):
        trial = one.trial
        row = {
            "suite": trial.suite,
            "task": trial.task,
            "scene": trial.scene,
            "seed": trial.seed,
            "instruction": trial.instruction,
            "objects": [item.noun for item in trial.objects.in_slots],
            "success": one.success,
            "seconds": round(one.seconds, 3),
            "failure": one.failure,
        }
        if trial.swapped:
            row["unnamed"] = one.unnamed
        if trial.following:
            row |= {"tasks": [stage.task for stage in trial.stages()], "completed": one.completed}
        rows.append(row)
    return rows


def print_tables(console: Console, result: dict, title: str) -> None:
    """Prints a document: suites, their tasks, and predicted frames if it has any."""
    console.print(title, soft_wrap=True)
    if set(result["suites"]) - {"chains"}:
        console.print(_suites_table(result))
    if "chains" in result["suites"]:
        console.print(_chains_table(result["suites"]["chains"]))
    console.print(_tasks_table(result))
    if result.get("prediction"):
        console.print(_prediction_table(result["prediction"]))


def _suites_table(result: dict) -> Table:
    table = Table(caption=_CHANCE if "categories" in result["suites"] else None, caption_justify="left")
    for name, justify in (
        ("suite", "left"),
        ("episodes", "right"),
        ("success", "right"),
        ("95 %", "left"),
        ("seconds", "right"),
        ("failures", "left"),
    ):
        table.add_column(name, justify=justify, no_wrap=name != "failures")
    for suite, row in result["suites"].items():
        if suite == "chains":
            continue
        failures = _failures_cell(row)
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f}"
        table.add_row(suite, str(row["episodes"]), *_rate_cells(row), seconds, failures)
        if "unnamed" in row:
            table.add_row("  the unnamed task", str(row["episodes"]), *_rate_cells(row["unnamed"]), "", "")
    return table


def _failures_cell(row: dict) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in row["failures"].items())


def _chains_table(row: dict) -> Table:
    table = Table(title="chains: instructions in a row", title_justify="left")
    numbers = range(1, len(row["rates"]) + 1)
    for name in ("chains", *map(str, numbers), "mean length"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("95 %", no_wrap=True)
    table.add_column("failures")
    rates = (f"{rate:.2f}" for rate in row["rates"])
    interval = f"{row['low']:.2f} .. {row['high']:.2f}"
    table.add_row(str(row["chains"]), *rates, f"{row['mean']:.2f}", interval, _failures_cell(row))
    return table


def _tasks_table(result: dict) -> Table:
    table = Table(title="successes by task", title_justify="left")
    table.add_column("task", no_wrap=True)
    for suite in result["tasks"]:
        table.add_column(suite, justify="right", no_wrap=True)
    played = sorted({name for tasks in result["tasks"].values() for name in tasks})
    for kind, group in groupby(played, lambda name: TASKS[name].kind):
        names = list(group)
        for name in names:
            table.add_row(name, *(_sum_cell(tasks, [name]) for tasks in result["tasks"].values()))
        if len(names) > 1:
            table.add_row(
                f"{kind}, all",
                *(_sum_cell(tasks, names) for tasks in result["tasks"].values()),
                style="bold",
                end_section=True,
            )
    return table


def _sum_cell(tasks: dict, names: list[str]) -> str:
    cells = [tasks[name] for name in names if name in tasks]
    if not cells:
        return ""
    return f"{sum(cell['successes'] for cell in cells)} / {sum(cell['episodes'] for cell in cells)}"


def _rate_cells(row: dict) -> tuple[str, str]:
    return f"{row['successes'] / row['episodes']:.2f}", f"{row['low']:.2f} .. {row['high']:.2f}"


def _prediction_table(figures: dict) -> Table:
    table = Table(
        title="predicted frames: mean error, model | copy of the current frame", title_justify="left"
    )
    for name in ("camera", "frames", "region", "share of pixels", "grey levels"):
        table.add_column(name, justify="left" if name in ("camera", "region") else "right", no_wrap=True)
    for role, row in figures.items():
        for region, share in (("moving", row["share"]), ("all", 1.0)):
            pair = " | ".join(f"{row[region][name]['grey_levels']:.1f}" for name in ("model", "copy"))
            table.add_row(role, str(row["frames"]), region, f"{100 * share:.1f} %", pair)
    return table
