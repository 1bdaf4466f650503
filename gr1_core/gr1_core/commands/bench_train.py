"""`gr1 bench train`."""

from __future__ import annotations

import argparse

from gr1_core.commands._training import options_anywhere
from gr1_core.commands.arguments import count

HELP = "training speed: windows per second, share of the CPU's peak, share of time waiting for data"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gr1 bench train", description=HELP)
    parser.add_argument(
        "recipe",
        nargs="?",
        default="finetune-small",
        metavar="RECIPE",
        help="a built-in recipe or a YAML file (default: finetune-small)",
    )
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="key=value",
        help="as in gr1 finetune; without data=DIR the data are synthetic",
    )
    parser.add_argument("--steps", type=count, default=10, help="timed steps (default: 10)")
    options_anywhere(parser)
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.bench import train
    from gr1_core.train import recipe as recipes

    given = any(change.startswith("data=") for change in arguments.changes)
    recipe = recipes.load(arguments.recipe, arguments.changes if given else [*arguments.changes, "data=''"])
    train.run(recipe, arguments.steps)
    return 0
