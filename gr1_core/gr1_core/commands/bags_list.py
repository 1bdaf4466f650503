"""`gr1 bags list`."""

from __future__ import annotations

import argparse
import json
import textwrap

from gr1_core.commands._text_table import console, print_table, text_table
from gr1_core.commands.arguments import Parser, bags
from gr1_core.plural import plural

HELP = "list all bags below a folder: instruction, outcome, length, problems"
_WIDE = 120
"""Columns of a terminal from which the table is readable."""
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
    wide = console().width >= _WIDE
    table = text_table(*_COLUMNS, right=("seconds", "MB"))
    for row in rows:
        if not wide:
            _print_narrow(row)
            continue
        table.add_row(
            row["name"],
            row["instruction"],
            row["outcome"],
            f"{row['seconds']:.1f}",
            f"{row['mb']:.1f}",
            row["operator"],
            "; ".join(row["problems"]),
        )
    if wide:
        print_table(table)
    damaged = sum(row["damaged"] for row in rows)
    damaged_part = f" {damaged} damaged," if damaged else ""
    minutes = sum(row["seconds"] for row in rows) / 60
    successes = sum(row["outcome"] == "success" and not row["damaged"] for row in rows)
    size = sum(row["mb"] for row in rows)
    print(
        f"{plural(len(rows), 'bag')}, {plural(successes, 'success', 'successes')},{damaged_part} "
        f"{minutes:.1f} min, {size:.0f} MB"
    )
    return 0


def _print_narrow(row: dict) -> None:
    """One bag on a terminal too narrow for the table: its figures, then instruction and problems below."""
    operator = f", {row['operator']}" if row["operator"] else ""
    print(row["name"])
    print(f"    {row['outcome'] or 'unreadable'}, {row['seconds']:.1f} s, {row['mb']:.1f} MB{operator}")
    for text in filter(None, (row["instruction"], *row["problems"])):
        print(textwrap.fill(text, console().width, initial_indent="    ", subsequent_indent="    "))
