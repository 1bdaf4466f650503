"""`gr1 bags show`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands._text_table import print_table, text_table
from gr1_core.commands.arguments import Parser

HELP = "show the labels and the topics of one bag"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bags show", description=HELP)
    parser.add_argument("bag", type=Path, metavar="BAG", help="folder of the bag")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.data import bag_table
    from gr1_core.data.bag import Bag

    bag = Bag(arguments.bag)
    labels = text_table("label", "value")
    for name, text in bag.labels.items():
        if name not in ("topics", "rig"):
            labels.add_row(name, text)
    labels.add_row("rig", bag.rig.name)
    print_table(labels)
    figures = ("expected", "received", "lost", "gaps", "longest gap, ms", "Hz")
    table = text_table("topic", "type", *figures, right=figures)
    for row in bag_table.topic_rows(bag):
        counts = (str(row[name]) for name in ("expected", "received", "lost", "gaps"))
        table.add_row(row["topic"], row["type"], *counts, f"{row['longest_gap_ms']:.1f}", f"{row['hz']:.1f}")
    print_table(table)
    return 0
