"""results.jsonl: the settings in the first line, then one line for each chain, written when it has ended.

The same command goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gr1_core.eval.calvin.protocol import ChainOutcome

NAME = "results.jsonl"


class ResultsError(ValueError):
    """Results that cannot be continued."""


@dataclass(frozen=True)
class ChainResult:
    """number: in the official list. done: tasks in a row.

    steps: control steps of each task that was tried.
    """

    number: int
    tasks: tuple[str, ...]
    instructions: tuple[str, ...]
    done: int
    steps: tuple[int, ...]
    seconds: float
    waiting: float

    @classmethod
    def of(cls, outcome: ChainOutcome) -> ChainResult:
        job = outcome.job
        timing = round(outcome.seconds, 2), round(outcome.waiting, 2)
        return cls(job.number, job.tasks, job.instructions, outcome.done, outcome.steps, *timing)


class ResultsLog:
    """path: None keeps nothing. settings: what must not change from one run to the next, e.g.

    the weights' SHA-256.
    """

    def __init__(self, path: Path | None, settings: Mapping):
        self.results: dict[int, ChainResult] = {}
        self._file = None
        if path is None:
            return
        mine = json.loads(json.dumps(dict(settings)))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = self._read(path, mine)
            self._file = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise ResultsError(
                f"--out {path.parent} cannot be used ({error.strerror}): choose a folder that you may "
                "write to"
            ) from error
        # A line that was cut off by a crash is written over.
        self._file.seek(whole)
        self._file.truncate()
        if whole == 0:
            self._append({"settings": mine})

    def add(self, outcome: ChainOutcome) -> None:
        """A chain counts once its line is on disk."""
        result = ChainResult.of(outcome)
        self.results[result.number] = result
        if self._file:
            self._append(
                {"chain": result.number}
                | {key: value for key, value in vars(result).items() if key != "number"}
            )

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _read(self, path: Path, settings: dict) -> int:
        """Takes the results over; returns the length of the whole lines in bytes."""
        if not path.is_file():
            return 0
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].splitlines()
        try:
            rows = [json.loads(line) for line in lines]
            before = rows[0]["settings"] if rows else settings
            for row in rows[1:]:
                fields = {
                    key: tuple(value) if isinstance(value, list) else value
                    for key, value in row.items()
                    if key != "chain"
                }
                self.results[row["chain"]] = ChainResult(row["chain"], **fields)
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(
                f"{path} is no results of gr1 evaluate calvin ({error!r}): choose another --out"
            ) from error
        differing = [
            f"{key} is {settings.get(key)!r}, was {before.get(key)!r}"
            for key in settings
            if settings.get(key) != before.get(key)
        ]
        if differing:
            raise ResultsError(
                f"{path} holds results of other settings ({'; '.join(differing)}): choose another --out"
            )
        return whole

    def _append(self, row: Mapping) -> None:
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
