"""What trials in the twin came to: the document that is printed last and saved, and the tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from rich.console import Console
from rich.table import Table

from gr1_core.eval.environment import Outcome
from gr1_core.eval.failures import KINDS
from gr1_core.eval.wilson import wilson
from gr1_core.sim.suites import COLUMNS
from gr1_core.sim.tasks import TASKS

_CHANCE = "categories: chance is a third in pick and put, where three things lie there; in take the plate shows which one is meant"


def share(hits: Iterable[bool]) -> dict:
    """{"episodes", "successes", "low", "high"}: low, high are the 95 % interval of Wilson's score."""
    hits = list(hits)
    low, high = wilson(sum(hits), len(hits))
    return {"episodes": len(hits), "successes": sum(hits), "low": round(low, 4), "high": round(high, 4)}


def document(outcomes: Sequence[Outcome]) -> dict:
    """{"columns": {column: share}, "tasks": {column: {task: {"episodes", "successes"}}}}.

    Of a column also `seconds`, the median of its successes, and `failures`. A swap counts as success what was named; `unnamed` is the
    share in which the task of the scene was done.
    """
    columns, tasks = {}, {}
    for column in COLUMNS:
        of = [one for one in outcomes if one.trial.column == column]
        if not of:
            continue
        seconds = [one.seconds for one in of if one.success]
        failures = Counter(one.failure for one in of if one.failure)
        columns[column] = share(one.success for one in of) | {
            "seconds": round(float(np.median(seconds)), 2) if seconds else None,
            "failures": {kind: failures[kind] for kind in KINDS if failures[kind]},
        }
        if column == "swap":
            columns[column]["unnamed"] = share(one.unnamed for one in of)
        names = sorted({one.trial.task for one in of})
        tasks[column] = {name: _count([one for one in of if one.trial.task == name]) for name in names}
    return {"columns": columns, "tasks": tasks}


def _count(of: Sequence[Outcome]) -> dict:
    return {"episodes": len(of), "successes": sum(one.success for one in of)}


def episodes(outcomes: Sequence[Outcome]) -> list[dict]:
    """Everything of each episode, for results.json."""
    order = {name: index for index, name in enumerate(COLUMNS)}
    rows = []
    for one in sorted(outcomes, key=lambda one: (order[one.trial.column], one.trial.seed, one.trial.scene)):
        trial = one.trial
        row = {
            "column": trial.column,
            "task": trial.task,
            "scene": trial.scene,
            "seed": trial.seed,
            "instruction": trial.instruction,
        }
        row |= {"things": [thing.noun for thing in trial.props.things]}
        row |= {"success": one.success, "seconds": round(one.seconds, 3), "failure": one.failure}
        rows.append(row | ({"unnamed": one.unnamed} if trial.swapped else {}))
    return rows


def show(console: Console, result: dict, title: str) -> None:
    """The tables of a document: columns, their tasks, and predicted frames if there are any."""
    console.print(title, soft_wrap=True)
    table = Table(caption=_CHANCE if "categories" in result["columns"] else None, caption_justify="left")
    for name, justify in (
        ("column", "left"),
        ("episodes", "right"),
        ("success", "right"),
        ("95 %", "left"),
        ("seconds", "right"),
        ("failures", "left"),
    ):
        table.add_column(name, justify=justify, no_wrap=name != "failures")
    for column, row in result["columns"].items():
        failures = ", ".join(f"{count} {kind}" for kind, count in row["failures"].items())
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f}"
        table.add_row(column, str(row["episodes"]), *_rate(row), seconds, failures)
        if "unnamed" in row:
            table.add_row("  the unnamed task", str(row["episodes"]), *_rate(row["unnamed"]), "", "")
    console.print(table)

    table = Table(title="successes by task", title_justify="left")
    table.add_column("task", no_wrap=True)
    for column in result["tasks"]:
        table.add_column(column, justify="right", no_wrap=True)
    played = sorted({name for tasks in result["tasks"].values() for name in tasks})
    for kind, group in groupby(played, lambda name: TASKS[name].kind):
        names = list(group)
        for name in names:
            table.add_row(name, *(_sum(tasks, [name]) for tasks in result["tasks"].values()))
        if len(names) > 1:
            table.add_row(
                f"{kind}, all",
                *(_sum(tasks, names) for tasks in result["tasks"].values()),
                style="bold",
                end_section=True,
            )
    console.print(table)

    if result.get("prediction"):
        console.print(_prediction(result["prediction"]))


def _sum(tasks: dict, names: list[str]) -> str:
    cells = [tasks[name] for name in names if name in tasks]
    return (
        f"{sum(cell['successes'] for cell in cells)} / {sum(cell['episodes'] for cell in cells)}"
        if cells
        else ""
    )


def _rate(row: dict) -> tuple[str, str]:
    return f"{row['successes'] / row['episodes']:.2f}", f"{row['low']:.2f} .. {row['high']:.2f}"


def _prediction(figures: dict) -> Table:
    table = Table(
        title="predicted frames: mean error, model | copy of the present frame", title_justify="left"
    )
    for name in ("camera", "frames", "region", "share of pixels", "grey levels"):
        table.add_column(name, justify="left" if name in ("camera", "region") else "right", no_wrap=True)
    for role, row in figures.items():
        for region, portion in (("moving", row["share"]), ("all", 1.0)):
            pair = " | ".join(f"{row[region][name]['grey_levels']:.1f}" for name in ("model", "copy"))
            table.add_row(role, str(row["frames"]), region, f"{100 * portion:.1f} %", pair)
    return table
