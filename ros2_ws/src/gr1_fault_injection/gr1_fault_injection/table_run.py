"""Injects faults into running stacks, kind of stack by kind of stack, and writes the table."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gr1_bringup import shared_memory
from gr1_fault_injection import report
from gr1_fault_injection.catalogue import Fault
from gr1_fault_injection.injection import inject_once
from gr1_fault_injection.report import Row
from gr1_fault_injection.scene import Skipped
from gr1_fault_injection.stack_under_test import StackError

_REBUILDS = 3


def run(faults: Sequence[Fault], each: int, out: Path, verbose: bool) -> int:
    """Injects each fault `each` times; writes faults.json and faults.md into `out`. The last line printed is
    JSON.

    Returns 0 if every run kept the promise, 1 if one did not, 130 after Ctrl-C.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored in the background of a script
        signal.signal(number, signal.default_int_handler)
    # A domain of its own, on this machine only: no other stack, and no real arm, may receive this.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    out.mkdir(parents=True, exist_ok=True)
    rows, began, code = [Row(fault) for fault in faults], time.monotonic(), 130
    progress_columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    try:
        with Progress(*progress_columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=each * len(rows))
            for scene, group in itertools.groupby(rows, key=lambda row: row.fault.scene):
                _run_group(scene, list(group), each, out, progress, task, verbose)
        code = 0 if report.good(rows) else 1
    except KeyboardInterrupt:
        console.print("interrupted: the runs so far are written")
    console.print(report.screen(rows))
    seconds = round(time.monotonic() - began, 1)
    head, table = {"each": each, "seconds": seconds, "good": code == 0}, out / "faults.md"
    document = head | {"faults": [row.to_dict() for row in rows]}
    (out / "faults.json").write_text(json.dumps(document, indent=1) + "\n")
    table.write_text(report.markdown(rows))
    console.print(f"the table: {table}; every run: {out / 'faults.json'}", soft_wrap=True, markup=False)
    console.print(json.dumps(head | report.counts(rows)), soft_wrap=True, markup=False)
    return code


def _run_group(kind, rows: list[Row], each: int, out: Path, progress: Progress, task, verbose: bool) -> None:
    """All faults of one kind of stack. A stack that does not recover is started again."""
    scene, rng, number = None, random.Random(0), 0
    try:
        for row in rows:
            broken = 0
            while len(row.runs) < each and not (row.skipped or row.broken):
                progress.update(task, description=row.fault.name)
                began = time.monotonic()
                try:
                    if scene is None:
                        progress.update(task, description=f"{row.fault.name}: starting the stack")
                        number += 1
                        scene = _start_stack(kind, out / f"{kind.__name__.lower()}-{number}")
                    row.runs.append(inject_once(row.fault, scene, rng))
                    progress.advance(task)
                    if verbose:
                        progress.console.print(
                            f"{row.fault.name}: {time.monotonic() - began:.1f} s, {row.runs[-1]}",
                            markup=False,
                        )
                    if row.runs[-1].recovery == "none":
                        raise StackError(row.runs[-1].wrong)
                except Skipped as why:
                    row.skipped = str(why)
                    progress.advance(task, each)
                except StackError as error:
                    broken += 1
                    progress.console.print(
                        f"{row.fault.name}: {error}; the stack is started again", style="yellow", markup=False
                    )
                    scene = scene and scene.close()
                    if broken == _REBUILDS:
                        row.broken = str(error)
                        progress.advance(task, each - len(row.runs))
    finally:
        if scene:
            scene.close()
        shared_memory.remove_dead_segments()


_domains = itertools.count(os.getpid() % 50)


def _start_stack(kind, folder: Path):
    os.environ["ROS_DOMAIN_ID"] = str(51 + next(_domains) % 50)
    shutil.rmtree(folder, ignore_errors=True)
    scene = kind(folder)
    try:
        scene.stack.up()
    except BaseException:
        scene.close()
        raise
    return scene
