"""`gr1 convert calvin`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands._convert import conversion_parser, run_conversion
from gr1_core.commands.arguments import count

HELP = "CALVIN -> a dataset to train on; every annotated span becomes an episode"


def parser() -> argparse.ArgumentParser:
    parser = conversion_parser("calvin", HELP)
    parser.add_argument(
        "src", type=Path, metavar="SRC", help="folder with training/ and validation/, e.g. task_ABCD_D"
    )
    parser.add_argument(
        "--split",
        choices=("training", "validation"),
        default="training",
        help="part of the dataset (default: training)",
    )
    parser.add_argument(
        "--per-task",
        type=count,
        metavar="N",
        help="only N spans of each task: 66 is the paper's 10 %% subset",
    )
    parser.add_argument("--seed", type=int, default=0, help="which spans --per-task draws (default: 0)")
    parser.add_argument(
        "--images",
        choices=("jpeg", "png"),
        default="jpeg",
        help="jpeg of quality 95 (default), or lossless png",
    )
    return parser


def main(argv: list[str]) -> int:
    return run_conversion(_source, parser().parse_args(argv))


def _source(arguments):
    from gr1_core.data.convert.sources.calvin import CalvinSource

    return CalvinSource(arguments.src, arguments.split, arguments.per_task, arguments.seed, arguments.images)
