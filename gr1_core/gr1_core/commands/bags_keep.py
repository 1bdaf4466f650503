"""`gr1 bags keep`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "remove trim and exclusion of bags; --labels also restores the recorded labels"


def parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="gr1 bags keep", description="Remove the marks of `gr1 bags trim` and `gr1 bags exclude`."
    )
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG", help="folders of the bags")
    parser.add_argument(
        "--labels",
        action="store_true",
        help="also restore outcome, instruction, operator and note as they were when the recording ended",
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.data.bag import Bag
    from gr1_core.data.marks import changed_labels, keep_bag

    for bag in [Bag(folder) for folder in arguments.bags]:
        changes = changed_labels(bag) if arguments.labels else {}
        said = [str(keep_bag(bag.folder, arguments.labels))]
        said += [f"{name} {now!r} -> {recorded!r}" for name, (recorded, now) in changes.items()]
        print(f"{bag.name}: {', '.join(said)}", flush=True)
    return 0
