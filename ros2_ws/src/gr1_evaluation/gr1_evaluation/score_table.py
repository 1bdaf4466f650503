"""An examination at a glance: what is said, for how long, how each task has gone, and the line that is being typed. No ROS import."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gr1_bringup.status_table import shown
from gr1_evaluation.evaluation import Examination, Trial

HINT = "type another sentence, or Enter for the next of the list"


def scores(
    examination: Examination, now: tuple[Trial, str, float] | None, typed: str, hint: bool = True
) -> RenderableType:
    """now: as Examiner.now gives it. typed: the line so far. hint: whether there is a keyboard at all."""
    parts: list[RenderableType] = [_sentence(now), *_tasks(examination)]
    if hint:
        parts.append(
            Text.assemble(("> ", "bold"), shown(typed), ("▌", "blink"), ("" if typed else f"  {HINT}", "dim"))
        )
    return Group(*parts)


def line(examination: Examination, now: tuple[Trial, str, float] | None) -> str:
    """The same in one line, for an output that is not a terminal."""
    results = examination.results
    won = sum(result.success for result in results)
    doing = f"'{shown(now[1])}' {now[2]:.1f} s" if now else "laying the table"
    return f"{won} of {len(results)} trials succeeded | {doing}"


def _sentence(now: tuple[Trial, str, float] | None) -> Text:
    if now is None:
        return Text("laying the table ...", style="dim")
    trial, sentence, seconds = now
    return Text.assemble(
        (shown(sentence), "bold"), (f"   {seconds:.1f} of {trial.seconds:.0f} s", "dim"),
        ("" if trial.task else "   none of the tasks: it runs, nobody judges", "yellow"),
    )  # fmt: skip


def _tasks(examination: Examination) -> list[RenderableType]:
    """One column a kind of task, one cell a task: successes of trials."""
    tally = examination.tally()
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
    return [grid, Text(f"{won} of {tried} trials succeeded", style="bold")]
