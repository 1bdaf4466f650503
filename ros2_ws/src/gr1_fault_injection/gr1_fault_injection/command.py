"""`python -m gr1_fault_injection`: breaks the running simulated stack in every way there is, and measures how it stops.

Exit status: 0 if every run stopped in time and stayed at rest until it might move, 1 if one did not, 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gr1_fault_injection import report
from gr1_fault_injection.catalogue import FAULTS, Fault
from gr1_fault_injection.injection import once
from gr1_fault_injection.report import Row
from gr1_fault_injection.scene import Skipped
from gr1_fault_injection.stack_under_test import BenchError

_REBUILDS = 3


def main(argv: list[str] | None = None) -> int:
    """See the module's text."""
    options = _parse(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored in the background of a script
        signal.signal(number, signal.default_int_handler)
    # A domain of its own, on this machine only: no other stack, and no real arm, is to hear of this.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    options.out.mkdir(parents=True, exist_ok=True)
    rows, began, code = [Row(fault) for fault in options.only], time.monotonic(), 130
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=options.each * len(rows))
            for scene, group in itertools.groupby(rows, key=lambda row: row.fault.scene):
                _group(scene, list(group), options, progress, task)
        code = 0 if report.good(rows) else 1
    except KeyboardInterrupt:
        console.print("interrupted: what was measured by now is written")
    console.print(report.screen(rows))
    seconds = round(time.monotonic() - began, 1)
    head, table = {"each": options.each, "seconds": seconds, "good": code == 0}, options.out / "faults.md"
    document = head | {"faults": [row.to_dict() for row in rows]}
    (options.out / "faults.json").write_text(json.dumps(document, indent=1) + "\n")
    table.write_text(report.markdown(rows))
    console.print(
        f"the table: {table}; every run: {options.out / 'faults.json'}", soft_wrap=True, markup=False
    )
    console.print(json.dumps(head | report.counts(rows)), soft_wrap=True, markup=False)
    return code


def _group(kind, rows: list[Row], options, progress: Progress, task) -> None:
    """All faults of one kind of stack. A stack that does not get back on its feet is started anew."""
    scene, rng, number = None, random.Random(0), 0
    try:
        for row in rows:
            broken = 0
            while len(row.runs) < options.each and not (row.skipped or row.broken):
                progress.update(task, description=row.fault.name)
                began = time.monotonic()
                try:
                    if scene is None:
                        progress.update(task, description=f"{row.fault.name}: starting the stack")
                        number += 1
                        scene = _open(kind, options.out / f"{kind.__name__.lower()}-{number}")
                    row.runs.append(once(row.fault, scene, rng))
                    progress.advance(task)
                    if options.verbose:
                        progress.console.print(
                            f"{row.fault.name}: {time.monotonic() - began:.1f} s, {row.runs[-1]}",
                            markup=False,
                        )
                    if row.runs[-1].recovery == "none":
                        raise BenchError(row.runs[-1].wrong)
                except Skipped as why:
                    row.skipped = str(why)
                    progress.advance(task, options.each)
                except BenchError as error:
                    broken += 1
                    progress.console.print(
                        f"{row.fault.name}: {error}; the stack is started anew", style="yellow", markup=False
                    )
                    scene = scene and scene.close()
                    if broken == _REBUILDS:
                        row.broken = str(error)
                        progress.advance(task, options.each - len(row.runs))
    finally:
        if scene:
            scene.close()


_domains = itertools.count(os.getpid() % 50)


def _open(kind, folder: Path):
    os.environ["ROS_DOMAIN_ID"] = str(51 + next(_domains) % 50)
    shutil.rmtree(folder, ignore_errors=True)
    scene = kind(folder)
    try:
        scene.bench.up()
    except BaseException:
        scene.close()
        raise
    return scene


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gr1_fault_injection", description=__doc__.split("\n")[0])
    parser.add_argument("--each", type=int, default=20, help="injections of each fault (default: 20)")
    parser.add_argument(
        "--only", default="", help="comma-separated faults, or parts of their names; --list shows them"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/faults"), help="folder for table and logs (default: out/faults)"
    )
    parser.add_argument("--list", action="store_true", help="show the faults and end")
    parser.add_argument("--verbose", action="store_true", help="print a line for each injection")
    options = parser.parse_args(argv)
    if options.list:
        print("\n".join(f"{fault.name:26} {fault.what}" for fault in FAULTS))
        parser.exit()
    if options.each < 1:
        parser.error(f"--each: {options.each} is not a number from 1 on")
    options.only = _chosen(options.only, parser)
    options.out = options.out.absolute()
    return options


def _chosen(words: str, parser: argparse.ArgumentParser) -> list[Fault]:
    found = []
    for word in filter(None, words.split(",")):
        named = [fault for fault in FAULTS if word == fault.name] or [
            fault for fault in FAULTS if word in fault.name
        ]
        if not named:
            parser.error(f"--only: no fault '{word}': there are {', '.join(fault.name for fault in FAULTS)}")
        found += named
    return [fault for fault in FAULTS if fault in found or not words]


if __name__ == "__main__":
    sys.exit(main())
