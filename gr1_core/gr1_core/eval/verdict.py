"""Whether a checkpoint passed its replay: a small record, bound to the weights that were replayed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from gr1_core.eval import checkpoint_records
from gr1_core.eval.checkpoint_records import fingerprint

__all__ = ["Check", "Verdict", "fingerprint", "load_verdict", "parse", "refusal", "why_refused"]
FILE, COMMAND = "replay.json", "gr1 replay"


@dataclass(frozen=True)
class Check:
    """One criterion. text: value and limit in words."""

    name: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    """bags: names of what was replayed."""

    bags: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def save(self, folder: str | Path) -> Path:
        """Writes the verdict on the checkpoint's present weights.

        Returns its file (see `checkpoint_records`).
        """
        record = dataclasses.asdict(self) | {"passed": self.passed}
        return checkpoint_records.save_record(folder, FILE, record)


def load_verdict(folder: str | Path) -> Verdict | None:
    """The verdict on the present weights; None if they were never replayed.

    Raises ValueError for a damaged file.
    """
    return checkpoint_records.load_record(folder, FILE, parse, COMMAND)


def refusal(folder: str | Path) -> str:
    """Why this checkpoint must not move an arm; empty if it passed its replay or was never replayed."""
    verdict = load_verdict(folder)
    return why_refused(verdict, str(folder)) if verdict else ""


def why_refused(verdict: Verdict, checkpoint: str) -> str:
    """Why a checkpoint with this verdict must not move an arm; empty if it passed."""
    if verdict.passed:
        return ""
    failed = "; ".join(check.text for check in verdict.checks if not check.passed)
    bags = f"{', '.join(verdict.bags[:3])}{' ...' if len(verdict.bags) > 3 else ''}"
    return f"{checkpoint} failed its replay over {bags}: {failed}"


def parse(record: dict) -> Verdict:
    """The verdict in a record. Raises KeyError or TypeError for a damaged one."""
    return Verdict(tuple(record["bags"]), tuple(Check(**check) for check in record["checks"]))
