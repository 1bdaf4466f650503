"""`gr1 collect hands`: simulated videos of human hands, to pre-train on before there is a robot."""

from __future__ import annotations

import argparse
import shlex
import signal
from pathlib import Path

from gr1_core.commands._cluster import add_workers_options, open_cluster
from gr1_core.commands.arguments import Parser, cores, count
from gr1_core.plural import plural

HELP = "render narrated videos of human hands in Ego4D's layout, to pre-train on"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 collect hands", description=HELP)
    parser.add_argument(
        "--clips",
        type=count,
        required=True,
        metavar="N",
        help="narrated moments in total, each a clip of 3 s",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="selects rooms, hands and actions (default: 0)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="as Ego4D's folder; existing videos are kept"
    )
    add_workers_options(parser, cores(), "processes", shown="one per core")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.progress import ProgressBar
    from gr1_core.sim.hands.videos import HandsError, collect_videos, plan_videos

    if arguments.seed < 0:
        raise HandsError(f"--seed {arguments.seed}: seeds are whole numbers from 0 up")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    specs, kept = plan_videos(arguments.clips, arguments.seed), 0
    with open_cluster(arguments) as cluster, ProgressBar("videos", len(specs)) as bar:
        for _, new in collect_videos(specs, arguments.out, arguments.workers, cluster):
            kept += not new
            bar.advance()
    print(
        f"{plural(arguments.clips, 'narrated clip')} in {plural(len(specs), 'video')} in {arguments.out}, "
        f"{kept} existed already"
    )
    print(f"next: gr1 convert ego4d {shlex.quote(str(arguments.out))} --out DATA")
    return 0
