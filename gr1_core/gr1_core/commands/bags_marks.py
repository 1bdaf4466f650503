"""`gr1 bags marks`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gr1_core.commands._text_table import print_table, text_table
from gr1_core.commands.arguments import Parser

HELP = "list all bags with marks: what is trimmed, excluded or was relabelled"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bags marks", description=HELP)
    parser.add_argument("root", type=Path, metavar="ROOT", help="a bag, or a folder with bags at any depth")
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.data.bag import Bag, BagError, find_bags
    from gr1_core.data.marks import changed_labels, marks_of

    folders, rows, unreadable = find_bags(arguments.root), [], 0
    if not folders:
        raise BagError(f"no bags below {arguments.root}")
    for folder in folders:
        try:
            bag = Bag(folder)
            marks, changes = marks_of(bag.labels, bag.name), changed_labels(bag)
        except BagError as error:
            unreadable += 1
            print(f"gr1: {error}", file=sys.stderr)
            continue
        if marks.trimmed or marks.excluded or changes:
            rows.append(
                {
                    "name": bag.name,
                    "trim_start_s": marks.trim_start_s,
                    "trim_end_s": marks.trim_end_s,
                    "excluded": marks.excluded,
                    "relabelled": {name: list(pair) for name, pair in changes.items()},
                }
            )
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 1 if unreadable else 0
    table = text_table("name", "kept, s", "excluded", "relabelled", right=("kept, s",))
    for row in rows:
        end = "end" if row["trim_end_s"] is None else f"{row['trim_end_s']:.2f}"
        kept = f"{row['trim_start_s']:.2f} .. {end}" if row["trim_start_s"] or row["trim_end_s"] else "all"
        relabelled = "; ".join(f"{name} {old!r} -> {new!r}" for name, (old, new) in row["relabelled"].items())
        table.add_row(row["name"], kept, row["excluded"], relabelled)
    if rows:
        print_table(table)
    print(f"{len(rows)} of {len(folders)} bag{'' if len(folders) == 1 else 's'} with marks")
    return 1 if unreadable else 0
