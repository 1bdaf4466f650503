"""`gr1 evaluate calvin`."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from gr1_core.commands._cluster import add_workers_options, open_cluster
from gr1_core.commands.arguments import Parser, checkpoint, cores, count

HELP = "the official CALVIN evaluation on its own simulator: success of 1 to 5 instructions in a row"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 evaluate calvin", description=HELP)
    driver = parser.add_mutually_exclusive_group(required=True)
    driver.add_argument("--checkpoint", type=checkpoint, metavar="DIR", help="of rig calvin")
    driver.add_argument(
        "--expert", action="store_true", help="the scripted expert instead, which is given the true state"
    )
    driver.add_argument(
        "--nothing", action="store_true", help="a policy that does nothing: the score of chance"
    )
    parser.add_argument(
        "--calvin-root",
        type=Path,
        metavar="DIR",
        help="clone of mees/calvin with calvin_env inside (default: $CALVIN_ROOT)",
    )
    parser.add_argument(
        "--chains",
        type=count,
        default=1000,
        metavar="N",
        help="the first N of the 1000 official chains (default: 1000)",
    )
    parser.add_argument(
        "--split", choices=("A", "B", "C", "D"), default="D", help="scene to play in (default: D)"
    )
    parser.add_argument(
        "--renderer", choices=("egl", "tiny"), default="egl",
        help="egl: as the official data were rendered (default); tiny: software, faster without a GPU, "
             "looks different",
    )  # fmt: skip
    parser.add_argument(
        "--instructions", default="official", metavar="official|unseen|FILE",
        help="unseen: fifty other wordings of each task; FILE: YAML {task: [instructions]} (default: "
             "official)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="which wordings are drawn (default: 0)"
    )
    add_workers_options(parser, cores(), "simulators in parallel", shown="one per core")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for results, page and videos; the same command continues it",
    )
    parser.add_argument(
        "--videos",
        type=int,
        default=4,
        metavar="N",
        help="record the first N chains, with --out (default: 4)",
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.calvin.checkout import Checkout
    from gr1_core.eval.calvin.evaluation import Options, run

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with open_cluster(arguments) as cluster:
        return run(
            Options(
                checkout=Checkout.open(arguments.calvin_root),
                agent="expert" if arguments.expert else "nothing" if arguments.nothing else "policy",
                checkpoint=arguments.checkpoint,
                chains=arguments.chains,
                scene=arguments.split,
                renderer=arguments.renderer,
                instructions=arguments.instructions,
                seed=arguments.seed,
                workers=arguments.workers,
                out=arguments.out,
                recorded=tuple(range(arguments.videos)),
                cluster=cluster,
            )
        )
