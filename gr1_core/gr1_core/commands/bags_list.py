"""`gr1 bags list`."""

from __future__ import annotations

import argparse
import json
import textwrap

from gr1_core.commands._text_table import console, print_table, text_table
from gr1_core.commands.arguments import Mistake, Parser, bags, checkpoint
from gr1_core.plural import plural

HELP = "list all bags below a folder: instruction, outcome, length, problems"
_WIDE = 120
"""Columns of a terminal from which the table is readable."""
_COLUMNS = ("name", "instruction", "outcome", "seconds", "MB", "operator", "problems")
_MEASURED = ("disagreement", "prediction")


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bags list", description=HELP)
    parser.add_argument("root", type=bags, metavar="ROOT", help="folder with bags at any depth")
    parser.add_argument(
        "--sort",
        choices=("name", "disagreement"),
        default="name",
        help="name (default); disagreement: how far the checkpoint's actions are from the demonstrator's, in "
        "standard deviations, the largest first: these episodes would teach it most",
    )
    parser.add_argument(
        "--checkpoint",
        type=checkpoint,
        metavar="DIR",
        help="with --sort disagreement: the policy that watches; its figures are kept in "
        "ROOT/disagreement.json (default: those of that file)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.data import bag_table
    from gr1_core.data.bag import BagError

    rows = bag_table.bag_rows(arguments.root)
    if not rows:
        raise BagError(f"no bags below {arguments.root}")
    found = None
    if arguments.sort == "disagreement":
        found = _disagreements(arguments, rows)
        rows.sort(key=lambda row: (row["disagreement"] is None, -(row["disagreement"] or 0.0)))
    elif arguments.checkpoint:
        raise Mistake("--checkpoint goes with --sort disagreement: add it, or leave it out")
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    wide = console().width >= _WIDE
    columns = (*_COLUMNS[:2], *_MEASURED, *_COLUMNS[2:]) if found else _COLUMNS
    table = text_table(*columns, right=("seconds", "MB", *_MEASURED))
    for row in rows:
        if not wide:
            _print_narrow(row)
            continue
        table.add_row(
            row["name"],
            row["instruction"],
            *((_figure(row["disagreement"]), _figure(row["prediction"])) if found else ()),
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
    if found:
        _print_instructions(found)
    return 0


def _disagreements(arguments, rows: list[dict]):
    """Adds "disagreement" and "prediction" to the rows; None where they are not known. Returns the file."""
    from pathlib import Path

    from gr1_core.data.bag import Bag, BagError
    from gr1_core.data.disagreement_file import DisagreementFile, home_of
    from gr1_core.progress import ProgressBar

    root = home_of(arguments.root)
    readable = [row for row in rows if row["instruction"] and not row["damaged"]]
    if arguments.checkpoint:
        from gr1_core.eval.disagreement import measure

        found = [Bag(row["folder"]) for row in readable]
        with ProgressBar("watching", len(found)) as bar:
            file = measure(arguments.checkpoint, root, found, bar.advance)
    else:
        file = DisagreementFile.load(root)
        if file is None:
            raise BagError(
                f"{root} holds no figures yet: add --checkpoint DIR, the policy that watches the bags"
            )
    for row in rows:
        known = file.get(root, Path(row["folder"]))
        row["disagreement"] = known and known.figure
        row["prediction"] = known and known.residual
        if known and known.problem:
            row["problems"] = [*row["problems"], f"not compared: {known.problem}"]
    return file


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _print_instructions(found) -> None:
    print(
        f"disagreement with {found.checkpoint} in standard deviations of the action; prediction: error of "
        "its predicted frames where something moves, 1: as wrong as copying the present frame"
    )
    groups = list(found.by_instruction().items())
    for what, rows in (("teaches most", groups[:3]), ("agrees most", groups[3:][-3:])):
        for text, row in rows:
            print(f"  {what}: {text} ({row['figure']:.2f}, {plural(row['episodes'], 'episode')})")


def _print_narrow(row: dict) -> None:
    """One bag on a terminal too narrow for the table: its figures, then instruction and problems below."""
    operator = f", {row['operator']}" if row["operator"] else ""
    print(row["name"])
    print(f"    {row['outcome'] or 'unreadable'}, {row['seconds']:.1f} s, {row['mb']:.1f} MB{operator}")
    if row.get("disagreement") is not None:
        predicted = _figure(row["prediction"]) or "unknown"
        print(f"    disagreement {row['disagreement']:.2f}, prediction {predicted}")
    for text in filter(None, (row["instruction"], *row["problems"])):
        print(textwrap.fill(text, console().width, initial_indent="    ", subsequent_indent="    "))
