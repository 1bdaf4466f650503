"""`gr1 pretrain`, `gr1 finetune`, `gr1 bench train`."""

from __future__ import annotations

from gr1_core.commands.arguments import count


def add(commands, bench) -> None:
    for stage, what in (("pretrain", "learn from videos"), ("finetune", "learn to act from demonstrations")):
        parser = commands.add_parser(stage, help=f"{what}, by a recipe", description=_description(stage))
        parser.add_argument("recipe", metavar="RECIPE", help="a built-in recipe or a YAML file")
        parser.add_argument(
            "changes",
            nargs="*",
            metavar="key=value",
            help="what differs from the recipe, e.g. data=DIR optimizer.lr=3e-4",
        )
        parser.add_argument(
            "--fresh", action="store_true", help="begin anew: forget the run that is in out=DIR"
        )
        parser.set_defaults(run=_train, stage=stage)
        _options_anywhere(parser)
    train = bench.add_parser(
        "train",
        help="training: windows a second, share of the processor's peak, share of time waiting for data",
    )
    train.add_argument(
        "recipe", nargs="?", default="finetune-small", metavar="RECIPE", help="(default: finetune-small)"
    )
    train.add_argument(
        "changes",
        nargs="*",
        metavar="key=value",
        help="as in gr1 finetune; without data=DIR, data are made up",
    )
    train.add_argument("--steps", type=count, default=10, help="that are timed (default: 10)")
    train.set_defaults(run=_bench)
    _options_anywhere(train)


def _options_anywhere(parser) -> None:
    """Lets options stand between the recipe and its changes: argparse looks for `key=value` only right behind the recipe."""
    parse = parser.parse_known_args

    def parse_all(words=None, namespace=None):
        arguments, left = parse(words, namespace)
        arguments.changes = [*arguments.changes, *(word for word in left if not word.startswith("-"))]
        return arguments, [word for word in left if word.startswith("-")]

    parser.parse_known_args = parse_all


def _description(stage: str) -> str:
    return (
        f"Runs a recipe of stage {stage}. The run's folder out=DIR holds everything: the checkpoint that `gr1 up --checkpoint` takes, "
        "states, log.jsonl, pictures, TensorBoard. The same command goes on where an interrupted run ended. Several processes: "
        f"torchrun --nproc-per-node N -m gr1_core {stage} ... or accelerate launch -m gr1_core {stage} ... "
        "Exit code 0: finished; 143 after SIGTERM and 130 after Ctrl-C: state saved, go on with the same command; 1: an error, named."
    )


def _train(arguments) -> int:
    from gr1_core.train import recipe as recipes

    recipe = recipes.load(arguments.recipe, arguments.changes)
    if recipe.stage != arguments.stage:
        raise recipes.RecipeError(
            f"recipe {recipe.name} has stage {recipe.stage}: run it with `gr1 {recipe.stage} {arguments.recipe}`"
        )
    from gr1_core.train.trainer import train

    return train(recipe, arguments.fresh)


def _bench(arguments) -> int:
    from gr1_core.bench import train
    from gr1_core.train import recipe as recipes

    given = any(change.startswith("data=") for change in arguments.changes)
    recipe = recipes.load(arguments.recipe, arguments.changes if given else [*arguments.changes, "data=''"])
    train.run(recipe, arguments.steps)
    return 0
