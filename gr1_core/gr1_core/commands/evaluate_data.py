"""`gr1 evaluate data`."""

from __future__ import annotations

import argparse

from gr1_core.commands.arguments import Parser, checkpoint, count, dataset

HELP = "losses, action errors (mm, degrees) and gripper accuracy on the episodes of a dataset"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 evaluate data", description=HELP)
    parser.add_argument(
        "--checkpoint",
        type=checkpoint,
        required=True,
        metavar="DIR",
        help="folder of the checkpoint, or demo: the one that comes with the package",
    )
    parser.add_argument("--dataset", type=dataset, required=True, metavar="DIR", help="folder of the dataset")
    parser.add_argument(
        "--episodes",
        choices=("held-out", "all"),
        help="which episodes (default: held-out where the checkpoint knows them, else all)",
    )
    parser.add_argument(
        "--windows", type=count, default=4096, help="at most so many, evenly spaced (default: 4096)"
    )
    parser.add_argument(
        "--untrained", action="store_true", help="also a model of the same sizes with random weights"
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.eval.dataset_evaluation import run

    run(arguments.checkpoint, arguments.dataset, arguments.episodes, arguments.windows, arguments.untrained)
    return 0
