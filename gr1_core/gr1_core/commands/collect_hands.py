"""`gr1 collect hands`: videos of someone's hands, to learn from before there is a robot; `gr1 collect` adds it."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

from gr1_core.commands.arguments import count


def add(kinds) -> None:
    """kinds: what `add_subparsers` gave."""
    hands = kinds.add_parser(
        "hands", help="videos of someone's hands with narrations, in Ego4D's layout, to pre-train on"
    )
    hands.add_argument(
        "--clips", type=count, required=True, metavar="N", help="narrated moments in all, each a clip of 3 s"
    )
    hands.add_argument(
        "--seed", type=int, default=0, metavar="S", help="other rooms, hands and actions (default: 0)"
    )
    hands.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="as Ego4D's folder; videos that are there are kept",
    )
    hands.add_argument(
        "--workers",
        type=count,
        default=len(os.sched_getaffinity(0)),
        metavar="W",
        help="processes (default: one a core)",
    )
    hands.set_defaults(run=_run)


def _run(arguments) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gr1_core.sim.hands.collect import HandsError, collect, orders

    if arguments.seed < 0:
        raise HandsError(f"--seed {arguments.seed}: seeds are whole numbers from 0 up")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted, kept = orders(arguments.clips, arguments.seed), 0
    columns = (TextColumn("videos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=len(wanted))
        for _, new in collect(wanted, arguments.out, arguments.workers):
            kept += not new
            bar.update(task, advance=1)
    print(
        f"{arguments.clips} narrated clips in {len(wanted)} videos in {arguments.out}, {kept} of them from before"
    )
    print(f"next: gr1 convert ego4d {shlex.quote(str(arguments.out))} --out DATA")
    return 0
