"""`gr1 evaluate`: how good a checkpoint is, in the simulated rig or on the episodes of a data set."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from gr1_core.commands.arguments import count
from gr1_core.pretrained import resolve


def add(commands, bench) -> None:
    kinds = commands.add_parser("evaluate", help="how good a checkpoint is").add_subparsers(
        required=True, metavar="ON"
    )
    data = kinds.add_parser(
        "data",
        help="held-out episodes of a data set: losses, action errors in mm and degrees, gripper accuracy",
    )
    data.add_argument("--checkpoint", type=resolve, required=True, metavar="DIR")
    data.add_argument("--dataset", type=Path, required=True, metavar="DIR")
    data.add_argument(
        "--episodes",
        choices=("held-out", "all"),
        help="(default: held-out where the checkpoint knows them, else all)",
    )
    data.add_argument(
        "--windows", type=count, default=4096, help="at most so many, evenly spaced (default: 4096)"
    )
    data.add_argument(
        "--untrained", action="store_true", help="beside it, a model of the same sizes with random weights"
    )
    data.set_defaults(run=_data)

    sim = kinds.add_parser(
        "sim",
        help="the simulated rig: success in the columns of the paper's table, with intervals and failures",
    )
    who = sim.add_mutually_exclusive_group(required=True)
    who.add_argument("--checkpoint", type=resolve, metavar="DIR")
    who.add_argument("--expert", action="store_true", help="the scripted expert instead: what can be reached")
    sim.add_argument(
        "--columns",
        default="all",
        metavar="A,B",
        help="seen, instances, categories, drawer, phrasing, swap (default: all)",
    )
    sim.add_argument(
        "--tasks",
        default="all",
        metavar="A,B",
        help="of the columns only these, names separated by commas (default: all)",
    )
    sim.add_argument("--episodes", type=count, default=100, metavar="N", help="of each column (default: 100)")
    sim.add_argument(
        "--seed",
        type=count,
        metavar="S",
        help="of the first layouts (default: that of the final table; to choose: 500000)",
    )
    sim.add_argument(
        "--seconds", type=count, default=20, metavar="T", help="a longer episode has failed (default: 20)"
    )
    sim.add_argument(
        "--workers",
        type=count,
        default=2 * _cores(),
        metavar="W",
        help="simulated rigs at once (default: two a core)",
    )
    sim.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for results.json and pictures of rollouts and predicted frames",
    )
    sim.set_defaults(run=_sim)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _data(arguments) -> int:
    from gr1_core.eval.dataset_evaluation import run

    run(arguments.checkpoint, arguments.dataset, arguments.episodes, arguments.windows, arguments.untrained)
    return 0


def _sim(arguments) -> int:
    from gr1_core.eval.sim_evaluation import run
    from gr1_core.sim.suites import FIRST
    from gr1_core.sim.tasks import named

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return run(
        checkpoint=None if arguments.expert else arguments.checkpoint,
        columns=arguments.columns,
        tasks=named(arguments.tasks),
        episodes=arguments.episodes,
        seed=arguments.seed or FIRST,
        seconds=arguments.seconds,
        workers=arguments.workers,
        out=arguments.out,
    )
