"""The fault table from its runs: for a screen, for a document and for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.table import Table

from gr1_fault_injection.catalogue import Fault
from gr1_fault_injection.injection import LIMIT_S, VISIBLE, Run

HEAD = (
    "fault",
    "n",
    "visible to zero p50 / max",
    "fault to zero p50 / max",
    "travel max",
    "reason shown",
    "recovery",
    "verdict",
)


@dataclass
class Row:
    """One fault and all its runs. skipped: why there are none."""

    fault: Fault
    runs: list[Run] = field(default_factory=list)
    skipped: str = ""
    broken: str = ""

    @property
    def failed(self) -> list[Run]:
        return [run for run in self.runs if run.wrong]

    @property
    def verdict(self) -> str:
        if self.skipped:
            return f"skipped: {self.skipped}"
        if self.broken:
            return f"FAILED: {self.broken}"
        if self.failed:
            what, number = Counter(run.wrong for run in self.failed).most_common(1)[0]
            return f"FAILED {len(self.failed)} of {len(self.runs)}: {what}" + (
                "" if number == len(self.failed) else ", and others"
            )
        if not self.runs:
            return "not measured"
        rearmed = (
            "; nothing moved before arm/reset"
            if self.fault.rearm or any("arm/reset" in run.recovery for run in self.runs)
            else ""
        )
        within = f" within {1e3 * LIMIT_S:.0f} ms" if self._all("visible_to_zero_ms") else ""
        return f"stopped {len(self.runs)} of {len(self.runs)}{within}{rearmed}"

    def cells(self) -> tuple[str, ...]:
        return (
            self.fault.name,
            str(len(self.runs)),
            _pair(self._all("visible_to_zero_ms"), "ms"),
            _pair(self._all("fault_to_zero_ms"), "ms"),
            f"{max((run.travel_mm for run in self.runs), default=0.0):.0f} mm" if self.runs else "-",
            _most_common(run.reason for run in self.runs),
            _most_common(run.recovery for run in self.runs),
            self.verdict,
        )

    def to_dict(self) -> dict:
        kind = self.fault.visible.partition(":")[0]
        figures = {
            name: _figures(self._all(name))
            for name in ("visible_to_zero_ms", "fault_to_zero_ms", "travel_mm", "recovery_s")
        }
        return {
            "fault": self.fault.name,
            "what": self.fault.what,
            "visible": VISIBLE[kind],
            "rearm": self.fault.rearm,
            "count": len(self.runs),
            "failed": len(self.failed),
            "skipped": self.skipped,
            "broken": self.broken,
            "verdict": self.verdict,
            **figures,
            "runs": [run.to_dict() for run in self.runs],
        }

    def _all(self, name: str) -> list[float]:
        return [value for run in self.runs if (value := getattr(run, name)) is not None]


def good(rows: Sequence[Row]) -> bool:
    """Whether all runs kept the promise; skipped faults do not count."""
    return not any(row.failed or row.broken for row in rows)


def counts(rows: Sequence[Row]) -> dict:
    """The totals, and the names of the faults that are not good."""
    return {
        "faults": len(rows),
        "injections": sum(len(row.runs) for row in rows),
        "failed": sum(len(row.failed) for row in rows),
        "not_good": [row.fault.name for row in rows if row.failed or row.broken],
        "skipped": [row.fault.name for row in rows if row.skipped],
    }


def screen(rows: Sequence[Row]) -> Table:
    table = Table(show_lines=True)
    for name in HEAD:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row.cells())
    return table


def markdown(rows: Sequence[Row]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines) + "\n"
    )


def _pair(values: list[float], unit: str) -> str:
    return f"{np.quantile(values, 0.5):.0f} / {max(values):.0f} {unit}" if values else "-"


def _figures(values: list[float]) -> dict | None:
    return {"p50": round(float(np.quantile(values, 0.5)), 1), "max": max(values)} if values else None


def _most_common(texts) -> str:
    """The most common one, and how many others there were."""
    counts = Counter(texts)
    if not counts:
        return "-"
    (text, _), others = counts.most_common(1)[0], len(counts) - 1
    return (text or "none") + (f" (+{others} other)" if others else "")
