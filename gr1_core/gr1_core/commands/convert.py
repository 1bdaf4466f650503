"""`gr1 convert`: bags, CALVIN, Ego4D or another LeRobotDataset -> one LeRobotDataset v3.0 (docs/reference/datasets.md)."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from gr1_core.commands import convert_sources
from gr1_core.commands.arguments import count

_WORTH_A_SPEED = 50_000_000  # bytes: below, starting the workers is most of the time


def add(commands, bench) -> None:
    convert = commands.add_parser(
        "convert", help="bags, CALVIN, Ego4D or another LeRobotDataset -> a data set to train on"
    )
    sources = convert.add_subparsers(required=True, metavar="SOURCE")

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the data set; an unfinished one is gone on with",
    )
    shared.add_argument(
        "--workers",
        type=count,
        default=2,
        metavar="N",
        help="processes that convert side by side (default: 2)",
    )
    shared.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="only the I-th of N shares (from 1), as parts; `gr1 convert merge` joins them",
    )
    shared.set_defaults(run=_run)

    bags = sources.add_parser("bags", parents=[shared], help="recorded episodes")
    bags.add_argument("src", type=Path, metavar="SRC", help="a bag, or a folder with bags at any depth")
    bags.add_argument(
        "--outcomes",
        default="success",
        metavar="A,B",
        help="episodes to take: success, failure, unfinished, discarded (default: success)",
    )
    bags.add_argument(
        "--images",
        choices=("keep", "jpeg", "png"),
        default="keep",
        help="keep: JPEG as recorded, raw pixels as PNG without loss (default); jpeg: raw pixels as JPEG of quality 95; png: all as PNG",
    )
    bags.add_argument(
        "--rig",
        metavar="NAME_OR_FILE",
        help="built-in rig or YAML file instead of the bags' own, which must agree with it",
    )
    bags.set_defaults(source=_bags)

    convert_sources.add(sources, [shared])

    merge = sources.add_parser("merge", help="join the parts that all shards have made")
    merge.add_argument("out", type=Path, metavar="OUT", help="the shards' --out")
    merge.set_defaults(run=_merge)


def _bags(arguments):
    from gr1_core.data.convert.sources.bags import BagSource
    from gr1_core.rig import Rig

    rig = Rig.load(arguments.rig) if arguments.rig else None
    return BagSource(arguments.src, arguments.outcomes.split(","), arguments.images, rig)


def _run(arguments) -> int:
    import time

    from gr1_core.data.convert import conversion, plan

    for src in arguments.src if isinstance(arguments.src, list) else [arguments.src]:
        plan.check_place(arguments.out, src)
    began = time.monotonic()
    try:
        done = conversion.convert(
            arguments.source(arguments), arguments.out, arguments.workers, arguments.shard
        )
    except KeyboardInterrupt:
        print("gr1: interrupted; the same command goes on from here", file=sys.stderr)
        raise
    seconds = time.monotonic() - began
    speed = (
        f", {seconds / (done.source_bytes * 1e-9):.0f} s per GB" if done.source_bytes > _WORTH_A_SPEED else ""
    )
    if isinstance(done, conversion.Shard):
        index, number = arguments.shard
        skipped = f", {len(done.skipped)} skipped" if done.skipped else ""
        print(
            f"shard {index + 1}/{number}: {done.made} parts made, {done.kept} were there already{skipped}; {seconds:.1f} s{speed}"
        )
        print(
            f"next, when all {number} shards have ended: gr1 convert merge {shlex.quote(str(arguments.out))}"
        )
        return 0
    return tell(done, f"{seconds:.1f} s{speed}")


def _merge(arguments) -> int:
    from gr1_core.data.convert.merge import merge

    return tell(merge(arguments.out), "")


def tell(done, spent: str) -> int:
    """Prints what a finished conversion gave. spent: the time, as text."""
    minutes = done.frames / done.fps / 60
    episodes = f"{done.episodes} episode{'' if done.episodes == 1 else 's'}"
    print(
        f"{done.root}: {episodes}, {done.frames} frames, {minutes:.1f} min at {done.fps} Hz"
        + (f"; {spent}" if spent else "")
    )
    for what, items in (("skipped", done.skipped), ("left out", done.left_out)):
        if items:
            print(f"{what}: {len(items)}, the first is {items[0][0]}: {items[0][1]}")
    print(f"report: {done.report}")
    recipe = "pretrain pretrain-ego4d" if done.kind == "videos" else "finetune RECIPE"
    print(f"next: gr1 {recipe} {shlex.quote(f'data={done.root}')}")
    return 0


def _shard(text: str) -> tuple[int, int]:
    index, slash, number = text.partition("/")
    if not (slash and index.isdigit() and number.isdigit() and 1 <= int(index) <= int(number)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a share like 1/4 (the first of four)")
    return int(index) - 1, int(number)
