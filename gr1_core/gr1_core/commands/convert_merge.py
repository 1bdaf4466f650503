"""`gr1 convert merge`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands._convert import print_summary
from gr1_core.commands.arguments import Parser

HELP = "join the parts that all shards have made into one dataset"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 convert merge", description=HELP)
    parser.add_argument("out", type=Path, metavar="OUT", help="the shards' --out")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.data.convert.merge import merge

    return print_summary(merge(arguments.out), "")
