"""`gr1 collect`: demonstrations without a robot."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from gr1_core.commands import collect_hands
from gr1_core.commands.arguments import count


def add(commands, bench) -> None:
    kinds = commands.add_parser("collect", help="demonstrations of the scripted expert").add_subparsers(
        required=True, metavar="WHERE"
    )
    sim = kinds.add_parser(
        "sim", help="the simulated rig, into bags or straight into a data set, without ROS"
    )
    sim.add_argument(
        "--episodes", type=count, required=True, metavar="N", help="in all, the tasks taking turns"
    )
    sim.add_argument("--tasks", default="all", metavar="A,B", help="names separated by commas (default: all)")
    sim.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="of the first round of the tasks; each round takes the next (default: 0)",
    )
    sim.add_argument(
        "--to",
        choices=("bags", "dataset"),
        default="bags",
        help="bags, as the rig records them (default), or a data set",
    )
    sim.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the bags or of the data set; an unfinished one is gone on with",
    )
    sim.add_argument(
        "--vary",
        action="store_true",
        help="data set only: other things, looks and starting places, and a disturbed hand whose labels stay the expert's",
    )
    sim.add_argument(
        "--policy",
        type=Path,
        metavar="CHECKPOINT",
        help="with --vary: this policy drives in turns with the expert (DAgger), without noise",
    )
    sim.add_argument(
        "--mix",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of the time that the policy drives, 0..1 (default: 0.5)",
    )
    sim.add_argument(
        "--glimpses",
        type=count,
        default=0,
        metavar="N",
        help="with --vary: so many scenes more, of each only the first picture, with the expert's action for each of three sentences",
    )
    sim.add_argument(
        "--workers",
        type=count,
        default=len(os.sched_getaffinity(0)),
        metavar="W",
        help="processes (default: one a core)",
    )
    sim.add_argument("--rig", default="kinova_gen2", help="built-in rig or YAML file (default: kinova_gen2)")
    sim.add_argument(
        "--images",
        choices=("jpeg", "raw"),
        default="jpeg",
        help="of bags (default: jpeg, quality 95, full colour resolution)",
    )
    sim.set_defaults(run=_sim)
    collect_hands.add(kinds)


def _sim(arguments) -> int:
    from gr1_core.rig import Rig
    from gr1_core.sim.collection.bags import CollectError, plan

    if arguments.seed < 0:
        raise CollectError(f"--seed {arguments.seed}: seeds are whole numbers from 0 up")
    into_dataset = arguments.to == "dataset"
    if into_dataset and arguments.images == "raw":
        raise CollectError("--images raw is for bags: a data set holds jpeg; leave it out")
    if arguments.policy and not arguments.vary:
        raise CollectError("--policy drives only varied episodes: add --vary")
    if arguments.glimpses and not arguments.vary:
        raise CollectError("--glimpses are of varied scenes: add --vary")
    if arguments.vary and not into_dataset:
        raise CollectError(
            "--vary is for data sets: bags show what the live stack would have sent; add --to dataset"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    takes, rig = plan(arguments.tasks, arguments.episodes, arguments.seed), Rig.load(arguments.rig)
    if not into_dataset:
        return _bags(arguments, takes, rig)
    # Scenes of their own: those of the episodes are seen in them.
    glimpses = plan(arguments.tasks, arguments.glimpses, takes[-1].seed + 1) if arguments.glimpses else []
    return _dataset(arguments, takes, glimpses, rig)


def _dataset(arguments, takes, glimpses, rig) -> int:
    import time

    from gr1_core.commands.convert import tell
    from gr1_core.data.convert import conversion, plan
    from gr1_core.sim.collection.dataset_source import SimulationSource

    plan.check_place(arguments.out)
    began = time.monotonic()
    try:
        source = SimulationSource(rig, takes, arguments.vary, arguments.policy, arguments.mix, glimpses)
        done = conversion.convert(source, arguments.out, arguments.workers)
    except KeyboardInterrupt:
        print("gr1: interrupted; the same command goes on from here", file=sys.stderr)
        raise
    return tell(done, f"{time.monotonic() - began:.1f} s")


def _bags(arguments, takes, rig) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gr1_core.sim.collection.bags import collect

    episodes = collect(takes, arguments.out, rig, arguments.images, arguments.workers)
    columns = (
        TextColumn("recording"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    failed, kept = [], 0
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=len(takes))
        for take, success, new in episodes:
            failed += [] if success else [take.name]
            kept += not new
            bar.update(task, advance=1, description=f"{len(failed)} failed" if failed else "")
    print(
        f"{len(takes)} episodes in {arguments.out}, {kept} of them from before; {len(takes) - len(failed)} successes"
    )
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 0
