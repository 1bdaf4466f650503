"""`gr1 bags list`."""

from __future__ import annotations

import argparse
import json

from gr1_core.commands._text_table import print_table, text_table
from gr1_core.commands.arguments import Parser, bags

HELP = "list all bags below a folder: instruction, outcome, length, problems"
_COLUMNS = ("name", "instruction", "outcome", "seconds", "MB", "operator", "problems")


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bags list", description=HELP)
    parser.add_argument("root", type=bags, metavar="ROOT", help="folder with bags at any depth")
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.data import bag_table
    from gr1_core.data.bag import BagError

    rows = bag_table.bag_rows(arguments.root)
    if not rows:
        raise BagError(f"no bags below {arguments.root}")
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    table = text_table(*_COLUMNS, right=("seconds", "MB"))
    for row in rows:
        table.add_row(
            row["name"],
            row["instruction"],
            row["outcome"],
            f"{row['seconds']:.1f}",
            f"{row['mb']:.1f}",
            row["operator"],
            "; ".join(row["problems"]),
        )
    print_table(table)
    damaged = sum(row["damaged"] for row in rows)
    damaged_part = f" {damaged} damaged," if damaged else ""
    minutes = sum(row["seconds"] for row in rows) / 60
    successes = sum(row["outcome"] == "success" and not row["damaged"] for row in rows)
    size = sum(row["mb"] for row in rows)
    print(f"{len(rows)} bags, {successes} successes,{damaged_part} {minutes:.1f} min, {size:.0f} MB")
    return 0
