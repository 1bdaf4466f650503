"""`gr1 bags exclude`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "mark bags as left out of every conversion; nothing is deleted"


def parser() -> argparse.ArgumentParser:
    from gr1_core.data.marks import DEFAULT_REASON

    parser = Parser(
        prog="gr1 bags exclude",
        description="Leave bags out of every conversion. The recording and its outcome stay; `gr1 bags keep` "
        "removes the mark.",
    )
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG", help="folders of the bags")
    parser.add_argument(
        "--why",
        default=DEFAULT_REASON,
        metavar="TEXT",
        help="the reason; conversion and its report show it (default: %(default)s)",
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.data.bag import Bag
    from gr1_core.data.marks import exclude_bag

    for bag in [Bag(folder) for folder in arguments.bags]:
        print(f"{bag.name}: {exclude_bag(bag.folder, arguments.why)}", flush=True)
    return 0
