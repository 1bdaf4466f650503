"""`gr1 bench train`."""

from __future__ import annotations

import argparse

from gr1_core.commands._training import options_anywhere
from gr1_core.commands.arguments import Parser, count

HELP = "training speed: windows per second, share of the CPU's peak, share of time waiting for data"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bench train", description=HELP)
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
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="train nothing: expected hours and memory of the whole run on GPUs",
    )
    parser.add_argument("--gpus", type=count, default=1, metavar="N", help="with --estimate (default: 1)")
    parser.add_argument(
        "--tflops",
        type=float,
        default=400.0,
        metavar="T",
        help="with --estimate: TFLOP/s of one GPU in training (default: 400, half of an H100's peak)",
    )
    parser.add_argument(
        "--gpu-memory", type=float, default=80.0, metavar="GB", help="with --estimate (default: 80)"
    )
    parser.add_argument(
        "--windows",
        type=count,
        metavar="N",
        help="with --estimate: windows per epoch (default: those of data=DIR, or the published data's)",
    )
    options_anywhere(parser)
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.bench import train
    from gr1_core.train import recipe as recipes

    given = any(change.startswith("data=") for change in arguments.changes)
    if arguments.estimate:
        from gr1_core.bench import estimate

        # Recipes that name their data: the published counts of windows go by that name.
        try:
            recipe = recipes.load(arguments.recipe, arguments.changes)
        except recipes.RecipeError:
            recipe = recipes.load(arguments.recipe, [*arguments.changes, "data=''"])
        estimate.run(recipe, arguments.gpus, arguments.tflops, arguments.gpu_memory, arguments.windows)
        return 0
    recipe = recipes.load(arguments.recipe, arguments.changes if given else [*arguments.changes, "data=''"])
    train.run(recipe, arguments.steps)
    return 0
