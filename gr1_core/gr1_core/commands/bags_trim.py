"""`gr1 bags trim`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "mark the part of bags that is used; the recording itself stays as it is"


def parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="gr1 bags trim",
        description="Mark the part of bags that is used: conversion, replay and calibration take only its "
        "control steps. The recording itself stays as it is; `gr1 bags keep` removes the mark.",
    )
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG", help="folders of the bags")
    parser.add_argument(
        "--start", type=float, metavar="S", help="seconds from the beginning of the recording"
    )
    parser.add_argument(
        "--end", type=float, metavar="S", help="seconds from the beginning, where the used part ends"
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.data.bag import Bag, BagError
    from gr1_core.data.marks import trim_bag

    if arguments.start is None and arguments.end is None:
        raise BagError("nothing to trim: give --start S, --end S or both, in seconds from the beginning")
    for bag in [Bag(folder) for folder in arguments.bags]:
        print(f"{bag.name}: {trim_bag(bag.folder, arguments.start, arguments.end)}", flush=True)
    return 0
