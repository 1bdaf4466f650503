"""`gr1 collect calvin`."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path

from gr1_core.commands._cluster import add_workers_options, open_cluster
from gr1_core.commands.arguments import Parser, cores, count

HELP = "demonstrations of the scripted expert in CALVIN's simulator, in the official dataset's layout"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 collect calvin", description=HELP)
    parser.add_argument(
        "--calvin-root",
        type=Path,
        metavar="DIR",
        help="clone of mees/calvin with calvin_env inside (default: $CALVIN_ROOT)",
    )
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--episodes", type=count, metavar="N", help="annotated demonstrations in total")
    amount.add_argument(
        "--single-frames",
        type=count,
        metavar="N",
        help="instead of demonstrations, N labelled moments of chains that are not rendered in between: "
        "three times the scenes in the same time, for policies without history",
    )
    parser.add_argument(
        "--tasks",
        default="all",
        metavar="A,B",
        help="those to annotate, names separated by commas (default: all 34)",
    )
    parser.add_argument("--split", choices=("D",), default="D", help="scene (the expert knows D)")
    parser.add_argument(
        "--renderer", choices=("egl", "tiny"), default="tiny", help="evaluate with the same (default: tiny)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="selects scenes and chains of tasks (default: 0)"
    )
    parser.add_argument(
        "--noise", type=float, default=0.3, metavar="SHARE",
        help="disturb the arm by up to this share of the largest action; labels stay the expert's "
             "(default: 0.3)",
    )  # fmt: skip
    parser.add_argument(
        "--no-depth",
        action="store_true",
        help="leave the depth images out: `gr1 convert calvin` does not read them",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="an unfinished one is continued"
    )
    add_workers_options(parser, cores(), "processes", shown="one per core")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.calvin.checkout import Checkout
    from gr1_core.calvin.collection import CalvinCollectError, CollectionSettings, collect, named_tasks
    from gr1_core.progress import ProgressBar

    if arguments.seed < 0:
        raise CalvinCollectError(f"--seed {arguments.seed}: seeds are whole numbers from 0 up")
    if not 0 <= arguments.noise <= 1:
        raise CalvinCollectError(f"--noise {arguments.noise}: a share from 0 to 1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    checkout = Checkout.open(arguments.calvin_root)
    checkout.require_packages()
    settings = CollectionSettings(
        arguments.split,
        named_tasks(arguments.tasks),
        arguments.seed,
        arguments.noise,
        arguments.renderer,
        not arguments.no_depth,
        arguments.single_frames is not None,
    )
    wanted = arguments.single_frames or arguments.episodes
    with (
        open_cluster(arguments) as cluster,
        ProgressBar("single frames" if arguments.single_frames else "demonstrations", wanted) as bar,
    ):
        show = lambda found, chains: bar.advance(f"{chains} chains", to=found)  # noqa: E731
        try:
            summary = collect(
                checkout, settings, wanted, arguments.out, arguments.workers, show, bar.resume, cluster
            )
        except KeyboardInterrupt:
            print("gr1: interrupted; the same command continues", file=sys.stderr)
            raise
    failed = sum(summary["failed"].values())
    print(
        f"{summary['episodes']} {'single frames' if arguments.single_frames else 'demonstrations'} in "
        f"{summary['frames']} frames of {summary['chains']} chains in {arguments.out}; "
        f"{failed} tasks failed and were left out"
    )
    for name, number in summary["tasks"].items():
        print(f"  {name:26s} {number}")
    print(f"next: gr1 convert calvin {shlex.quote(str(arguments.out))} --out DATA")
    return 0
