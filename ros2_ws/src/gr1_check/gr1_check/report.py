"""The results of a check: a line each, a table at the end, report.json and report.md. ROS-free."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.table import Table
from rich.text import Text

OK, WARN, FAIL, LEFT_OUT = "OK", "WARN", "FAIL", "left out"
COLOURS = {OK: "green", WARN: "yellow", FAIL: "bold red", LEFT_OUT: "dim"}


@dataclass(frozen=True)
class Result:
    """One result: step, subject, level, text and figures. remedy: what to do when it is not OK."""

    step: str
    subject: str
    level: str
    text: str
    remedy: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)


def worst(*levels: str) -> str:
    return max(levels, key=(OK, WARN, FAIL).index)


def graded(value: float, warn: float, fail: float = math.inf) -> str:
    """OK up to `warn`, WARN up to `fail`; NaN FAILs."""
    return OK if value <= warn else WARN if value <= fail else FAIL


class Report:
    """All results of one check. `facts`: what was checked, for the report's head."""

    def __init__(self, facts: Mapping[str, str]):
        self.facts, self.results = dict(facts), []

    def add(self, result: Result) -> None:
        self.results.append(result)

    @property
    def failed(self) -> bool:
        return any(result.level == FAIL for result in self.results)

    def verdict(self) -> str:
        counted = Counter(result.level for result in self.results)
        said = ", ".join(
            f"{counted[level]} {level}" for level in (OK, WARN, FAIL, LEFT_OUT) if counted[level]
        )
        return f"{'FAILED' if self.failed or not self.results else 'passed'}: {said or 'nothing was checked'}"

    def table(self) -> Table:
        grid = Table(title=self.verdict(), title_justify="left", expand=True)
        for name in ("step", "what", "result"):
            grid.add_column(name, no_wrap=True)
        grid.add_column("figures")
        for result in self.results:
            grid.add_row(
                result.step,
                result.subject,
                Text(result.level, style=COLOURS[result.level]),
                Text(_with_remedy(result)),
            )
        return grid

    def save(self, folder: Path) -> None:
        document = {
            "passed": not self.failed,
            **self.facts,
            "results": [asdict(result) for result in self.results],
        }
        (folder / "report.json").write_text(json.dumps(_finite(document), indent=1) + "\n")
        head = [
            f"# Rig check {self.verdict()}",
            "",
            *(f"- {name}: {value}" for name, value in self.facts.items()),
        ]
        rows = [
            f"| {r.step} | {r.subject} | {r.level} | {_with_remedy(r).replace('|', '/')} |"
            for r in self.results
        ]
        (folder / "report.md").write_text(
            "\n".join([*head, "", "| step | what | result | figures |", "|---|---|---|---|", *rows, ""])
        )


def _with_remedy(result: Result) -> str:
    return f"{result.text} -> {result.remedy}" if result.remedy and result.level != OK else result.text


def _finite(value):
    """JSON has no NaN: a figure that was not measured is null."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
