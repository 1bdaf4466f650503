"""`gr1 rig check`."""

from __future__ import annotations

import argparse
import sys

from gr1_core.commands.arguments import Parser, rig

HELP = "check a rig file: fields, stop budget, and what follows from its numbers; exit code 2 for a bad one"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 rig check", description=HELP)
    parser.add_argument("rig", type=rig, metavar="FILE", help="a YAML file, or the name of a built-in rig")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core import rig_guide
    from gr1_core.rig import Rig

    checked = Rig.load(arguments.rig)
    for line in rig_guide.consequences(checked):
        print(line)
    problems = checked.stop_problems()
    for problem in problems:
        print(f"gr1 rig check: {problem}", file=sys.stderr)
    if problems:
        return 2
    print(f"{checked.name}: good. Use it with --rig {arguments.rig} (gr1 up, gr1 collect sim, gr1 convert)")
    return 0
