"""`gr1 bags recover`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "make complete bags of recordings that were cut off; a single bag is also repaired"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bags recover", description=HELP)
    parser.add_argument("root", type=Path, metavar="ROOT", help="a bag, or a folder with bags at any depth")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.data import metadata
    from gr1_core.data.bag import BagError
    from gr1_core.data.recovery import recover_bag, unfinished_bags

    folders, refused = unfinished_bags(arguments.root), 0
    if (arguments.root / metadata.METADATA_FILE).is_file():
        folders = [arguments.root]
    for folder in folders:
        try:
            print(recover_bag(folder) or f"{folder.name}: is complete and undamaged", flush=True)
        except BagError as error:
            refused += 1
            print(f"gr1: {error}", file=sys.stderr)
    if not folders:
        print(f"no unfinished bag below {arguments.root}")
    return 1 if refused else 0
