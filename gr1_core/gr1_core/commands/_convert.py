"""What the `gr1 convert` commands share: options, the run, its summary."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from gr1_core.commands._cluster import add_workers_options, open_cluster
from gr1_core.commands.arguments import Parser
from gr1_core.plural import plural

KEPT_LITTLE = 3
"""Exit code of a conversion that is complete but kept less than half of what was there."""
_MIN_BYTES_FOR_SPEED = 50_000_000  # below, starting the workers is most of the time


def conversion_parser(source: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options of every source."""
    parser = Parser(
        prog=f"gr1 convert {source}",
        description=description,
        epilog=f"Exit codes: 0 done; {KEPT_LITTLE} done, but less than half of what was there was kept; 1 "
        "an error.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the dataset; an interrupted conversion continues",
    )
    add_workers_options(parser, 2, "processes that convert in parallel", "N")
    parser.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="only the I-th of N shares (from 1), as parts; `gr1 convert merge` joins them",
    )
    return parser


def run_conversion(source_of, arguments) -> int:
    """Converts and prints the summary. source_of: function arguments -> Source."""
    from gr1_core.data.convert import conversion, plan

    sources = arguments.src if isinstance(arguments.src, list) else [arguments.src]
    for src in sources:
        plan.check_output_folder(arguments.out, src)
    if arguments.cluster:  # whose workers run in other folders
        sources = [Path(os.path.abspath(src)) for src in sources]
        arguments.src = sources if isinstance(arguments.src, list) else sources[0]
    began = time.monotonic()
    try:
        with open_cluster(arguments, sources) as cluster:
            done = conversion.convert(
                source_of(arguments), arguments.out, arguments.workers, arguments.shard, cluster=cluster
            )
    except KeyboardInterrupt:
        print("gr1: interrupted; the same command continues", file=sys.stderr)
        raise
    seconds = time.monotonic() - began
    speed = ""
    if done.source_bytes > _MIN_BYTES_FOR_SPEED:
        speed = f", {seconds / (done.source_bytes * 1e-9):.0f} s per GB"
    if not isinstance(done, conversion.Shard):
        return print_summary(done, f"{seconds:.1f} s{speed}")
    index, number = arguments.shard
    skipped = f", {len(done.skipped)} skipped" if done.skipped else ""
    print(
        f"shard {index + 1}/{number}: {plural(done.made, 'part')} made, {done.kept} existed already"
        f"{skipped}; {seconds:.1f} s{speed}"
    )
    out = shlex.quote(str(arguments.out))
    print(f"next, when all {number} shards have ended: gr1 convert merge {out}")
    return 0


def print_summary(done, duration: str) -> int:
    """Prints what a finished conversion made. duration: as text, or empty.

    Returns the exit code: 0, or KEPT_LITTLE if less than half of what was there was kept.
    """
    if done.kept_little:
        reason = done.kept["reason"]
        print(f"kept {done.kept['steps']} of {done.kept['of']} steps" + (f": {reason}" if reason else ""))
    minutes = done.frames / done.fps / 60
    episodes = f"{plural(done.episodes, 'episode')}"
    print(
        f"{done.root}: {episodes}, {plural(done.frames, 'frame')}, {minutes:.1f} min at {done.fps} Hz"
        + (f"; {duration}" if duration else "")
    )
    lists = (
        ("skipped", done.skipped),
        ("left out", done.left_out),
        ("converted with a problem", done.changed),
    )
    for what, items in lists:
        if items:
            print(f"{what}: {len(items)}, the first is {items[0][0]}: {items[0][1]}")
    for title in done.findings:
        print(f"check: {title}")
    print(f"report: {done.report}")
    recipe = "pretrain pretrain-ego4d" if done.kind == "videos" else "finetune RECIPE"
    print(f"next: gr1 {recipe} {shlex.quote(f'data={done.root}')}")
    return KEPT_LITTLE if done.kept_little else 0


def _shard(text: str) -> tuple[int, int]:
    index, slash, number = text.partition("/")
    if not (slash and index.isdigit() and number.isdigit() and 1 <= int(index) <= int(number)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a share like 1/4 (the first of four)")
    return int(index) - 1, int(number)
