"""What `gr1 pretrain`, `gr1 finetune` and `gr1 bench train` share."""

from __future__ import annotations

import argparse

from gr1_core import pretrained
from gr1_core.commands.arguments import Parser, checking, require_dataset


def training_parser(stage: str, description: str) -> argparse.ArgumentParser:
    """The parser of `gr1 pretrain` and `gr1 finetune`."""
    parser = Parser(prog=f"gr1 {stage}", description=description + _MORE.format(stage=stage))
    parser.add_argument("recipe", metavar="RECIPE", help="a built-in recipe or a YAML file")
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="key=value",
        help="what differs from the recipe, e.g. data=DIR optimizer.lr=3e-4",
    )
    parser.add_argument("--fresh", action="store_true", help="start again: delete the run that is in out=DIR")
    options_anywhere(parser)
    return parser


_MORE = (
    ". The run's folder out=DIR holds everything: the checkpoint that `gr1 up --checkpoint` takes, states, "
    "log.jsonl, images, TensorBoard. The same command continues an interrupted run. Several processes: "
    "torchrun --nproc-per-node N -m gr1_core {stage} ... or accelerate launch -m gr1_core {stage} ... "
    "Exit codes: 0 finished; 143 after SIGTERM and 130 after Ctrl-C, state saved, the same command "
    "continues; "
    "1 an error, named."
)


def run_stage(stage: str, argv: list[str], parser: argparse.ArgumentParser) -> int:
    """Runs a recipe of this stage. Raises RecipeError for a recipe of another stage."""
    arguments = parser.parse_args(argv)
    from gr1_core.train import recipe as recipes

    with checking():
        recipe = recipes.load(arguments.recipe, arguments.changes)
        if recipe.stage != stage:
            raise recipes.RecipeError(
                f"recipe {recipe.name} has stage {recipe.stage}: run it with `gr1 {recipe.stage} "
                f"{arguments.recipe}`"
            )
        require_dataset(recipe.data)
        if recipe.init:
            pretrained.require(recipe.init)
    from gr1_core.train.setup import train

    return train(recipe, arguments.fresh)


def options_anywhere(parser: argparse.ArgumentParser) -> None:
    """Lets options stand between the recipe and its changes.

    argparse itself looks for `key=value` only directly behind the recipe.
    """
    parse = parser.parse_known_args

    def parse_all(words=None, namespace=None):
        arguments, left = parse(words, namespace)
        arguments.changes = [*arguments.changes, *(word for word in left if not word.startswith("-"))]
        return arguments, [word for word in left if word.startswith("-")]

    parser.parse_known_args = parse_all
