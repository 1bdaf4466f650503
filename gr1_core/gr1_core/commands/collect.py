"""`gr1 collect`: demonstrations without a robot."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from gr1_core.commands.arguments import count


def add(commands, bench) -> None:
    kinds = commands.add_parser("collect", help="demonstrations of the scripted expert").add_subparsers(required=True, metavar="WHERE")
    sim = kinds.add_parser("sim", help="the simulated rig, straight into bags, without ROS")
    sim.add_argument("--episodes", type=count, required=True, metavar="N", help="in all, the tasks taking turns")
    sim.add_argument("--tasks", default="all", metavar="A,B", help="names separated by commas (default: all)")
    sim.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the first round of the tasks; each round takes the next (default: 0)"
    )
    sim.add_argument("--out", type=Path, required=True, metavar="BAGS", help="folder of the bags; episodes that are there are kept")
    sim.add_argument("--workers", type=count, default=len(os.sched_getaffinity(0)), metavar="W", help="processes (default: one a core)")
    sim.add_argument("--rig", default="kinova_gen2", help="built-in rig or YAML file (default: kinova_gen2)")
    sim.add_argument("--images", choices=("jpeg", "raw"), default="jpeg", help="(default: jpeg, quality 95, full colour resolution)")
    sim.set_defaults(run=_sim)


def _sim(arguments) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gr1_core.rig import Rig
    from gr1_core.sim.collect import CollectError, collect, plan

    if arguments.seed < 0:
        raise CollectError(f"--seed {arguments.seed}: seeds are whole numbers from 0 up")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    takes, rig = plan(arguments.tasks, arguments.episodes, arguments.seed), Rig.load(arguments.rig)
    episodes = collect(takes, arguments.out, rig, arguments.images, arguments.workers)
    columns = (TextColumn("recording"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    failed, kept = [], 0
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=len(takes))
        for take, success, new in episodes:
            failed += [] if success else [take.name]
            kept += not new
            bar.update(task, advance=1, description=f"{len(failed)} failed" if failed else "")
    print(f"{len(takes)} episodes in {arguments.out}, {kept} of them from before; {len(takes) - len(failed)} successes")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 0
