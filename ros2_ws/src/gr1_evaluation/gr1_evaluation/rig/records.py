"""What an evaluation on the rig keeps in its folder: the same command goes on after any end. ROS-free.

plan.json: what was asked for. order.sealed: see `order`. results.jsonl: one line a trial, written when its
verdict is known and synced to the disk. Neither names the checkpoint of a trial.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from gr1_core import atomic_write
from gr1_evaluation.rig import order as orders
from gr1_evaluation.rig.order import Order
from gr1_evaluation.rig.sequential_test import PairCounts

PLAN, RESULTS = "plan.json", "results.jsonl"


@dataclass(frozen=True)
class Plan:
    """checkpoints: folders of A and B. weights: their SHA-256. tasks: names of the twin's tasks, or
    instructions. trials: pairs at most. seconds: of a trial. first_seed: of the twin's layouts.
    """

    checkpoints: tuple[str, str]
    weights: tuple[str, str]
    tasks: tuple[str, ...]
    trials: int
    seconds: float
    first_seed: int


@dataclass(frozen=True)
class Result:
    """A line of results.jsonl. outcome: success, failure or redo. kind: of the failure. calls: reasons for
    which the policy called. taken_over: a person drove. start, video: names of files. blind: nobody had
    opened the order. judge: automatic, desk or terminal.
    """

    pair: int
    position: int
    task: str
    instruction: str
    outcome: str
    kind: str
    seconds: float
    judge: str
    at: str
    start: str
    video: str
    calls: tuple[str, ...]
    taken_over: bool
    blind: bool
    order_sha256: str


class Records:
    """Of one folder. Raises ValueError for a folder of another evaluation, or a damaged one."""

    def __init__(self, folder: Path, plan: Plan, seed: int | None = None):
        self.folder, self.plan = folder, plan
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / RESULTS
        if (folder / PLAN).exists():
            self._require_same()
            self.order: Order = orders.read(folder)
        else:
            self.order = orders.write(folder, plan.trials, seed)
            atomic_write.write_json(folder / PLAN, asdict(plan) | {"order_sha256": self.order.sha256})
        self.results, self.revealed = self._read()

    def _require_same(self) -> None:
        try:
            before = json.loads((self.folder / PLAN).read_text())
        except ValueError as error:
            raise ValueError(f"{self.folder / PLAN} is damaged: {error}") from error
        now = json.loads(json.dumps(asdict(self.plan)))
        for name, value in now.items():
            if before.get(name) != value:
                raise ValueError(
                    f"{self.folder} holds an evaluation with {name} {before.get(name)}, not {value}: give "
                    "the same command to go on with it, or another --out"
                )

    def _read(self) -> tuple[list[Result], bool]:
        found, revealed, good = [], False, 0
        data = self._file.read_bytes() if self._file.exists() else b""
        for number, line in enumerate(data.splitlines(keepends=True), 1):
            try:
                document = json.loads(line) if line.endswith(b"\n") else None
            except ValueError as error:
                raise ValueError(f"{self._file}, line {number} is damaged: {error}") from error
            if document is None:
                break  # the program was killed while it wrote this line: the trial is repeated
            good += len(line)
            if "revealed" in document:
                revealed = True
                continue
            if document["order_sha256"] != self.order.sha256:
                raise ValueError(f"{self._file}, line {number} belongs to another order than order.sealed")
            found.append(Result(**document | {"calls": tuple(document["calls"])}))
        if good < len(data):
            with self._file.open("r+b") as file:
                file.truncate(good)
        return found, revealed

    def add(self, result: Result) -> None:
        self._append(asdict(result))
        self.results.append(result)

    def reveal(self) -> None:
        """Notes that somebody has opened the order before the end: later trials are not blind."""
        if not self.revealed:
            self._append({"revealed": len(self.results)})
            self.revealed = True

    def _append(self, document: Mapping) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps(document) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def judged(self) -> dict[tuple[int, int], Result]:
        """(pair, position) -> its result that counts."""
        return {(one.pair, one.position): one for one in self.results if one.outcome != "redo"}

    def next_trial(self) -> tuple[int, int] | None:
        """(pair, position) of the next trial; None at the end of the order."""
        judged = self.judged()
        each = ((pair, position) for pair in range(self.plan.trials) for position in (0, 1))
        return next((trial for trial in each if trial not in judged), None)

    def pair(self, number: int) -> tuple[Result, Result] | None:
        """A's and B's result of a pair; None where one is missing. This opens the order."""
        judged = self.judged()
        if not {(number, 0), (number, 1)} <= set(judged):
            return None
        a_position = self.order.first[number]  # 0 where A came first
        return judged[number, a_position], judged[number, 1 - a_position]

    def counts(self) -> PairCounts:
        """Of the complete pairs. This opens the order."""
        tally = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
        for number in range(self.plan.trials):
            if pair := self.pair(number):
                tally[tuple(one.outcome == "success" for one in pair)] += 1
        return PairCounts(*tally.values())
