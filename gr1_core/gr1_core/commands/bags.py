"""`gr1 bags`: what was recorded, what is wrong with it, new labels, recovery."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

_COLUMNS = ("name", "instruction", "outcome", "seconds", "MB", "operator", "problems")


def add(commands, bench) -> None:
    bags = commands.add_parser("bags", help="recorded episodes: list, show, relabel, verify, recover")
    kinds = bags.add_subparsers(required=True, metavar="WHAT")

    listed = kinds.add_parser("list", help="all bags below a folder")
    listed.add_argument("root", type=Path, metavar="ROOT")
    listed.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    listed.set_defaults(run=_list)

    show = kinds.add_parser("show", help="labels and topics of one bag")
    show.add_argument("bag", type=Path, metavar="BAG")
    show.set_defaults(run=_show)

    relabel = kinds.add_parser("relabel", help="change labels; the recording itself is never touched")
    relabel.add_argument("bags", type=Path, nargs="+", metavar="BAG")
    relabel.add_argument("--outcome", metavar="X", help="success, failure, discarded or unfinished")
    relabel.add_argument("--instruction", metavar="TEXT")
    relabel.add_argument("--operator", metavar="NAME")
    relabel.add_argument("--note", metavar="TEXT")
    relabel.set_defaults(run=_relabel)

    verify = kinds.add_parser(
        "verify", help="read everything and name what is wrong; exit status 1 if anything is"
    )
    verify.add_argument("root", type=Path, metavar="BAG_OR_ROOT")
    verify.set_defaults(run=_verify)

    recover = kinds.add_parser("recover", help="make whole bags of recordings that were cut off")
    recover.add_argument("root", type=Path, metavar="ROOT")
    recover.set_defaults(run=_recover)


def _list(arguments) -> int:
    from gr1_core.data import bag_table
    from gr1_core.data.bag import BagError

    rows = bag_table.rows(arguments.root)
    if not rows:
        raise BagError(f"no bags below {arguments.root}")
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    table = _table(*_COLUMNS, right=("seconds", "MB"))
    for row in rows:
        numbers = f"{row['seconds']:.1f}", f"{row['mb']:.1f}"
        table.add_row(
            row["name"],
            row["instruction"],
            row["outcome"],
            *numbers,
            row["operator"],
            "; ".join(row["problems"]),
        )
    _print(table)
    damaged = sum(row["damaged"] for row in rows)
    damaged = f" {damaged} damaged," if damaged else ""
    seconds = sum(row["seconds"] for row in rows)
    good = sum(row["outcome"] == "success" and not row["damaged"] for row in rows)
    print(
        f"{len(rows)} bags, {good} successes,{damaged} {seconds / 60:.1f} min, {sum(row['mb'] for row in rows):.0f} MB"
    )
    return 0


def _show(arguments) -> int:
    from gr1_core.data import bag_table
    from gr1_core.data.bag import Bag

    bag = Bag(arguments.bag)
    labels = _table("label", "value")
    for name, text in bag.labels.items():
        if name not in ("topics", "rig"):
            labels.add_row(name, text)
    labels.add_row("rig", bag.rig.name)
    _print(labels)
    numbers = ("expected", "received", "lost", "gaps", "longest gap, ms", "Hz")
    table = _table("topic", "type", *numbers, right=numbers)
    for row in bag_table.topics(bag):
        counts = (str(row[name]) for name in ("expected", "received", "lost", "gaps"))
        table.add_row(row["topic"], row["type"], *counts, f"{row['longest_gap_ms']:.1f}", f"{row['hz']:.1f}")
    _print(table)
    return 0


def _relabel(arguments) -> int:
    from gr1_core.data import metadata
    from gr1_core.data.bag import Bag, BagError, relabel

    labels = {name: text for name in metadata.CHANGEABLE if (text := getattr(arguments, name)) is not None}
    if not labels:
        raise BagError(f"nothing to change: give {', '.join(f'--{name}' for name in metadata.CHANGEABLE)}")
    metadata.check_labels(labels)
    bags = [Bag(folder) for folder in arguments.bags]
    for bag in bags:
        relabel(bag.folder, **labels)
        changes = (f"{name} {bag.labels.get(name, '')!r} -> {text!r}" for name, text in labels.items())
        print(f"{bag.name}: {', '.join(changes)}")
    return 0


def _verify(arguments) -> int:
    from rich.progress import track

    from gr1_core.data.bag import BagError, candidates
    from gr1_core.data.verification import DAMAGE, verify

    folders = sorted(folder for folder, _ in candidates(arguments.root))
    if not folders:
        raise BagError(f"no bags below {arguments.root}")
    wrong = 0
    for folder in track(
        folders,
        "reading",
        transient=True,
        disable=len(folders) < 2 or not sys.stderr.isatty(),
        console=_console(True),
    ):
        problems = verify(folder)
        wrong += bool(problems)
        for problem in problems:
            print(f"{folder.name}: {problem}", flush=True)
        if any(problem.startswith(DAMAGE) for problem in problems):
            what = shlex.quote(str(folder))
            print(
                f"{folder.name}: to save what can be read: move its metadata.yaml away, then `gr1 bags recover {what}`",
                flush=True,
            )
    print(f"{len(folders)} bags read, {wrong} with problems")
    return 1 if wrong else 0


def _recover(arguments) -> int:
    from gr1_core.data.bag import BagError
    from gr1_core.data.recovery import recover, unfinished

    folders, refused = unfinished(arguments.root), 0
    for folder in folders:
        try:
            print(recover(folder) or f"{folder.name}: is whole by now", flush=True)
        except BagError as error:
            refused += 1
            print(f"gr1: {error}", file=sys.stderr)
    if not folders:
        print(f"no unfinished bag below {arguments.root}")
    return 1 if refused else 0


def _table(*columns: str, right: tuple[str, ...] = ()):
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="fold",
            no_wrap=name in right or name == "name",
        )
    return table


def _print(table) -> None:
    _console().print(table)


def _console(stderr: bool = False):
    from rich.console import Console

    # Into a file or a pipe a table is as wide as it needs to be, so that its lines can be searched.
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, markup=False, width=None if stream.isatty() else 240)
