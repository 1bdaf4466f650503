"""An evaluation on one screen: instruction, time, successes of each task, the typed line. ROS-free."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gr1_common.text import printable
from gr1_core.plural import plural
from gr1_evaluation.evaluation import Evaluation, Trial

HINT = "type another instruction, or Enter for the next of the list"


def scores(
    evaluation: Evaluation, now: tuple[Trial, str, float] | None, typed: str, hint: bool = True
) -> RenderableType:
    """now: Evaluator.current(). typed: the line so far. hint: whether there is a keyboard."""
    parts: list[RenderableType] = [_instruction(now), *_tasks(evaluation)]
    if hint:
        parts.append(
            Text.assemble(
                ("> ", "bold"), printable(typed), ("▌", "blink"), ("" if typed else f"  {HINT}", "dim")
            )
        )
    return Group(*parts)


def line(evaluation: Evaluation, now: tuple[Trial, str, float] | None) -> str:
    """The same in one line, for an output that is not a terminal."""
    results = evaluation.results
    won = sum(result.success for result in results)
    doing = f"'{printable(now[1])}' {now[2]:.1f} s" if now else "setting up the table"
    return f"{won} of {plural(len(results), 'trial')} succeeded | {doing}"


def _instruction(now: tuple[Trial, str, float] | None) -> Text:
    if now is None:
        return Text("setting up the table ...", style="dim")
    trial, instruction, seconds = now
    return Text.assemble(
        (printable(instruction), "bold"), (f"   {seconds:.1f} of {trial.seconds:.0f} s", "dim"),
        ("" if trial.task else "   no task's instruction: it runs without an outcome", "yellow"),
    )  # fmt: skip


def _tasks(evaluation: Evaluation) -> list[RenderableType]:
    """Three tasks a row: successes of trials."""
    tally = evaluation.tally()
    if not tally:
        return []
    grid = Table.grid(padding=(0, 3))
    cells = [
        Text.assemble(
            (f"{won}/{tried} ", "green" if won == tried else "yellow" if won else "red"),
            task.replace("_", " "),
        )
        for task, (won, tried) in tally.items()
    ]
    for start in range(0, len(cells), 3):
        grid.add_row(*cells[start : start + 3])
    won, tried = (sum(column) for column in zip(*tally.values()))
    return [grid, Text(f"{won} of {plural(tried, 'trial')} succeeded", style="bold")]
