"""`gr1 bags relabel`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "change the labels of bags; the recording itself stays as it is"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bags relabel", description=HELP)
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG", help="folders of the bags")
    parser.add_argument("--outcome", metavar="X", help="success, failure, discarded or unfinished")
    parser.add_argument("--instruction", metavar="TEXT", help="the task in words")
    parser.add_argument("--operator", metavar="NAME", help="who operated the robot")
    parser.add_argument("--note", metavar="TEXT", help="a free remark")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.data import metadata
    from gr1_core.data.bag import Bag, BagError, relabel_bag

    labels = {name: text for name in metadata.CHANGEABLE if (text := getattr(arguments, name)) is not None}
    if not labels:
        raise BagError(f"nothing to change: give {', '.join(f'--{name}' for name in metadata.CHANGEABLE)}")
    metadata.check_labels(labels)
    bags = [Bag(folder) for folder in arguments.bags]
    for bag in bags:
        relabel_bag(bag.folder, **labels)
        changes = (f"{name} {bag.labels.get(name, '')!r} -> {text!r}" for name, text in labels.items())
        print(f"{bag.name}: {', '.join(changes)}")
    return 0
