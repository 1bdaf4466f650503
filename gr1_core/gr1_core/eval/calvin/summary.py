"""What chains came to: success of 1 to 5 in a row, mean length, success by task; printed tables and the JSON
document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gr1_core.calvin.chains import LENGTH
from gr1_core.eval.calvin.log import ChainResult
from gr1_core.eval.calvin.references import Reference
from gr1_core.eval.chain_metrics import chain_rates
from gr1_core.eval.wilson import wilson


def document(results: Sequence[ChainResult]) -> dict:
    """{"chains", "rates": [5], "intervals": [[low, high]] * 5, "mean", "low", "high", "tasks": {task:
    {"tried", "successes"}}}.

    rates: share of the chains with at least 1 .. 5 tasks in a row, with Wilson's 95 % intervals. low, high:
    of the mean length, the 95 % interval of a bootstrap over the chains.
    """
    rates = chain_rates([one.done for one in results], LENGTH)
    reached = [sum(one.done >= count for one in results) for count in range(1, LENGTH + 1)]
    intervals = [[round(end, 4) for end in wilson(count, len(results))] for count in reached]
    return rates | {"intervals": intervals, "tasks": by_task(results)}


def by_task(results: Sequence[ChainResult]) -> dict[str, dict[str, int]]:
    """{task: {"tried", "successes"}}, sorted by name; a task after the first failure of a chain was not
    tried.
    """
    tried, done = Counter(), Counter()
    for one in results:
        tried.update(one.tasks[: one.done + 1])
        done.update(one.tasks[: one.done])
    return {task: {"tried": tried[task], "successes": done[task]} for task in sorted(tried)}


def print_tables(console, result: dict, title: str, references: Sequence[Reference]) -> None:
    """console: rich's. The document's rates beside published ones, and the success by task."""
    from rich.table import Table

    console.print(title, soft_wrap=True)
    table = Table()
    for name in ("in a row, %", "data", *(str(count) for count in range(1, LENGTH + 1)), "mean length"):
        left, wraps = name in ("in a row, %", "data"), name in ("in a row, %", "mean length")
        table.add_column(name, justify="left" if left else "right", no_wrap=not wraps, min_width=6)
    cells = [f"{100 * rate:.1f}" for rate in result["rates"]]
    table.add_row(result["policy"], "this run", *cells, f"{result['mean']:.2f}", style="bold")
    # In whole per cent, to fit into 100 columns, or into 80 with two lines a row; the document has all.
    ends = [f"{100 * low:.0f}-{100 * high:.0f}" for low, high in result["intervals"]]
    table.add_row("  95 %", "", *ends, f"{result['low']:.2f}-{result['high']:.2f}", end_section=True)
    for one in references:
        rates = [f"{100 * rate:.1f}" if rate is not None else "" for rate in one.rates]
        table.add_row(one.name, one.data, *rates, f"{one.mean:.2f}" + ("" if one.published else " *"))
    table.caption = (
        "* self-reported by its authors after GR-1's paper; not measured here, like all rows but the first"
    )
    table.caption_justify = "left"
    console.print(table)
    tasks = Table(title="success by task", title_justify="left")
    for name in ("task", "tried", "successes", "success", "95 %"):
        tasks.add_column(name, justify="left" if name == "task" else "right", no_wrap=True)
    for task, row in result["tasks"].items():
        low, high = wilson(row["successes"], row["tried"])
        rate = row["successes"] / row["tried"]
        tasks.add_row(
            task, str(row["tried"]), str(row["successes"]), f"{rate:.2f}", f"{low:.2f} .. {high:.2f}"
        )
    console.print(tasks)
