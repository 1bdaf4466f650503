"""`gr1 evaluate sim`."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from gr1_core.commands._cluster import add_workers_options, open_cluster
from gr1_core.commands.arguments import (
    Parser,
    checking,
    checkpoint,
    cores,
    count,
    refuse_renamed_options,
    suites,
    tasks,
)
from gr1_core.renamed import OPTIONS

HELP = "success rates on the simulated rig, by suite, with intervals and causes of failure"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 evaluate sim", description=HELP)
    driver = parser.add_mutually_exclusive_group(required=True)
    driver.add_argument(
        "--checkpoint",
        type=checkpoint,
        metavar="DIR",
        help="folder of the checkpoint, or demo: the one that comes with the package",
    )
    driver.add_argument(
        "--expert",
        action="store_true",
        help="the scripted expert instead: an upper bound of what is possible",
    )
    parser.add_argument(
        "--suites",
        type=suites,
        default="all",
        metavar="A,B",
        help="seen, instances, categories, drawer, phrasing, swap, chains, moved, occluded (default: all)",
    )
    parser.add_argument(
        "--tasks",
        type=tasks,
        default="all",
        metavar="A,B",
        help="only these tasks of the suites, names separated by commas (default: all)",
    )
    parser.add_argument("--episodes", type=count, default=100, metavar="N", help="per suite (default: 100)")
    parser.add_argument(
        "--seed",
        type=count,
        metavar="S",
        help="seed of the first layouts (default: that of the reported table; to select checkpoints: 500000)",
    )
    parser.add_argument(
        "--seconds", type=count, default=20, metavar="T", help="time limit of an episode (default: 20)"
    )
    add_workers_options(parser, 2 * cores(), "simulated rigs in parallel", shown="two per core")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for results.json and images of rollouts and predicted frames",
    )
    refuse_renamed_options(parser, OPTIONS["evaluate sim"])
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.sim.suites import FIRST_TEST_SEED, parse_suites, trials
    from gr1_core.sim.tasks import parse_task_names

    names, seed = parse_task_names(arguments.tasks), arguments.seed or FIRST_TEST_SEED
    with checking():
        for suite in parse_suites(arguments.suites, names):
            trials(suite, 1, seed, names)
    from gr1_core.eval.sim_evaluation import run

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with open_cluster(arguments) as cluster:
        return run(
            checkpoint=None if arguments.expert else arguments.checkpoint,
            suites=arguments.suites,
            tasks=names,
            episodes=arguments.episodes,
            seed=seed,
            seconds=arguments.seconds,
            workers=arguments.workers,
            out=arguments.out,
            cluster=cluster,
        )
