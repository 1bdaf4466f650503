"""`gr1 bench sim`."""

from __future__ import annotations

import argparse

from gr1_core.commands.arguments import Parser, count, rig

HELP = "CPU time of the twin: a physics tick, a reset, an image of each camera"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bench sim", description=HELP)
    parser.add_argument(
        "--rig", type=rig, default="kinova_gen2", help="built-in rig or YAML file (default: kinova_gen2)"
    )
    parser.add_argument(
        "--rounds", type=count, default=15, help="measurements; medians are shown (default: 15)"
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.bench import sim

    sim.run(arguments.rig, arguments.rounds)
    return 0
