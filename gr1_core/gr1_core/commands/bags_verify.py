"""`gr1 bags verify`."""

from __future__ import annotations

import argparse
import shlex
import sys

from gr1_core.commands._text_table import console
from gr1_core.commands.arguments import Parser, bags
from gr1_core.plural import plural

HELP = "read bags completely and name what is wrong; exit code 1 if anything is"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bags verify", description=HELP)
    parser.add_argument("root", type=bags, metavar="ROOT", help="a bag, or a folder with bags at any depth")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from rich.progress import track

    from gr1_core.data.bag import BagError, find_candidates
    from gr1_core.data.verification import DAMAGE_PREFIXES, verify_bag

    folders = sorted(folder for folder, _ in find_candidates(arguments.root))
    if not folders:
        raise BagError(f"no bags below {arguments.root}")
    bags_with_problems = 0
    no_bar = len(folders) < 2 or not sys.stderr.isatty()
    for folder in track(folders, "reading", transient=True, disable=no_bar, console=console(stderr=True)):
        problems = verify_bag(folder)
        bags_with_problems += bool(problems)
        for problem in problems:
            print(f"{folder.name}: {problem}", flush=True)
        if any(problem.startswith(DAMAGE_PREFIXES) for problem in problems):
            remedy = f"`gr1 bags recover {shlex.quote(str(folder))}`"
            print(f"{folder.name}: to save what can be read: {remedy}", flush=True)
    print(f"{plural(len(folders), 'bag')} read, {bags_with_problems} with problems")
    return 1 if bags_with_problems else 0
