"""`gr1 bags outliers`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gr1_core.commands._text_table import console, print_table, text_table
from gr1_core.commands.arguments import Parser, count

HELP = "name the bags that differ from the others of their task, the worst first"


def parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="gr1 bags outliers",
        description="Compare each bag with the others of its task: duration, path, jerk, idle beginning and "
        "end, end pose, gripper flicker, speed limit, missing frames, near-duplicates. Reads each bag once; "
        "the figures are kept in the user's cache folder.",
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder with bags at any depth")
    parser.add_argument(
        "--outcomes",
        default="success",
        metavar="A,B",
        help="episodes to compare: success, failure, unfinished, discarded (default: %(default)s)",
    )
    parser.add_argument(
        "--most", type=count, default=20, metavar="N", help="rows to print (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from rich.progress import track

    from gr1_core.data.bag import Bag, BagError, find_bags
    from gr1_core.data.bag_figures import FigureCache
    from gr1_core.data.metadata import OUTCOMES
    from gr1_core.data.outliers import rank_outliers

    outcomes = arguments.outcomes.split(",")
    if unknown := [outcome for outcome in outcomes if outcome not in OUTCOMES]:
        raise BagError(f"outcome '{unknown[0]}' is not one of {', '.join(OUTCOMES)}")
    folders = []
    for folder in find_bags(arguments.root):
        try:
            bag = Bag(folder)
        except BagError as error:
            print(f"gr1: {error}", file=sys.stderr)
            continue
        if bag.outcome in outcomes and not bag.labels.get("excluded"):
            folders.append(folder)
    if not folders:
        raise BagError(f"no bags with the outcome {' or '.join(outcomes)} below {arguments.root}")
    cache, no_bar = FigureCache(arguments.root), not sys.stderr.isatty()
    progress = track(folders, "reading", transient=True, disable=no_bar, console=console(stderr=True))
    try:
        figures = [cache.read(folder) for folder in progress]
    finally:
        cache.save(folders)
    ranked = rank_outliers(figures)
    if arguments.json:
        rows = [{"name": each.name, "score": each.score, "reasons": list(each.reasons)} for each in ranked]
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    table = text_table("bag", "score", "why", right=("score",))
    for each in ranked[: arguments.most]:
        table.add_row(each.name, f"{each.score:.1f}", "; ".join(each.reasons))
    if ranked:
        print_table(table)
    more = f", {len(ranked) - arguments.most} more with --most" if len(ranked) > arguments.most else ""
    print(f"{len(ranked)} of {len(folders)} bag{'' if len(folders) == 1 else 's'} differ{more}")
    return 0
