"""`gr1 improve`."""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path

from gr1_core.commands._training import options_anywhere
from gr1_core.commands.arguments import Parser, bags, checking, checkpoint, cores, count

HELP = (
    "learn from corrected episodes: convert them, fine-tune a checkpoint on old data and corrections, compare"
)
DEFAULTS = ("corrections={}", "steps=1000", "share=null", "validation=null", "starts=every", "hz=null")
_LEFT_OUT = ("mae=null", "clip=null", "videos=null", "loss.videos=0")
_SUITES = "seen,drawer"


def parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="gr1 improve",
        description=HELP + ". B is trained by A's own recipe from A's weights, for 1000 steps. Bags of the "
        "twin: A and B play the same layouts in the twin. Other bags: their errors on held-out episodes are "
        "compared; `gr1 evaluate rig` decides on the real arm. The same command goes on after an "
        "interruption. Exit codes: 0 finished, whichever is better; 130 or 143 interrupted; 1 an error, "
        "named. The last line is one JSON document.",
    )
    parser.add_argument(
        "--checkpoint", type=checkpoint, required=True, metavar="A", help="the policy that drove"
    )
    parser.add_argument(
        "--bags", type=bags, required=True, metavar="DIR", help="its episodes, with an operator's take-overs"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="B", help="folder of the new checkpoint")
    parser.add_argument(
        "--data",
        action="append",
        metavar="DIR",
        help="dataset to learn from beside the bags, may be repeated; none: no other (default: the one that "
        "A was trained on)",
    )
    parser.add_argument("--recipe", metavar="NAME", help="recipe in the place of A's own")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="folder for datasets and results (default: B-work)"
    )
    parser.add_argument(
        "--no-evaluate",
        action="store_true",
        help="compare errors on held-out episodes only, not in the twin",
    )
    parser.add_argument(
        "--suites",
        default=_SUITES,
        metavar="A,B",
        help=f"in the twin, see `gr1 evaluate sim` (default: {_SUITES})",
    )
    parser.add_argument("--episodes", type=count, default=100, metavar="N", help="per suite (default: 100)")
    parser.add_argument(
        "--seed",
        type=count,
        default=500_000,
        metavar="S",
        help="of the first layouts (default: 500000, those to select checkpoints by)",
    )
    parser.add_argument(
        "--seconds", type=count, default=20, metavar="T", help="time limit of an episode (default: 20)"
    )
    parser.add_argument(
        "--workers", type=count, default=cores(), metavar="N", help="processes (default: one per core)"
    )
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="key=value",
        help="what differs from the recipe, e.g. corrections.weight=3 steps=2000",
    )
    options_anywhere(parser)
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.improve import comparison, data
    from gr1_core.train.setup import train

    with checking():
        folder = data.require_checkpoint(arguments.checkpoint)
        old = data.old_data(folder, arguments.data)
    work = arguments.work or arguments.out.with_name(f"{arguments.out.name}-work")
    recipe = _recipe(arguments, folder, work / ("joined" if old else "new"))
    # SIGTERM before and after the training ends the command; the training itself saves its state.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    prepared = data.prepare(folder, arguments.bags, old, work, arguments.workers)
    simulated = data.all_simulated(prepared.bags)
    if code := train(recipe):
        return code
    folders = folder, arguments.out
    if simulated and not arguments.no_evaluate:
        suites, tasks = _suites(arguments.suites, prepared)
        settings = arguments.episodes, arguments.seed, arguments.seconds, arguments.workers
        found = comparison.in_twin(folders, suites, tasks, *settings, work)
    else:
        found = comparison.on_held_out(folders, prepared)
    print(f"A {folder}, B {arguments.out}:")
    print("\n".join([*found.lines, comparison.verdict(found)]))
    if found.where == "held-out" and not simulated:
        print(
            "an error on recordings says little about success: compare on the rig, "
            f"gr1 evaluate rig --checkpoints {folder},{arguments.out}"
        )
    document = found.to_dict() | {"a_checkpoint": str(folder), "b_checkpoint": str(arguments.out)}
    print(json.dumps(document), flush=True)
    return 0


def _recipe(arguments, folder: Path, dataset: Path):
    """A's recipe, or the one that is named, from A's weights on the new dataset. Raises RecipeError."""
    from gr1_core.model import checkpoint as checkpoints
    from gr1_core.train import recipe as recipes

    fixed = [f"init={json.dumps(str(folder))}", f"out={json.dumps(str(arguments.out))}"]
    fixed += [f"data={json.dumps(str(dataset))}"]
    changes = [*DEFAULTS, *_LEFT_OUT, *arguments.changes, *fixed]
    if own := [word for word in arguments.changes if word.partition("=")[0] in ("init", "out", "data")]:
        raise recipes.RecipeError(f"{own[0]}: `gr1 improve` sets it: see --checkpoint, --out and --data")
    if arguments.recipe:
        found = recipes.load(arguments.recipe, changes)
    else:
        saved = (checkpoints.read_training(folder) or {}).get("recipe")
        if not saved:
            raise recipes.RecipeError(f"{folder} does not say how it was trained: give --recipe NAME")
        found = recipes.continued(saved | {"name": "improve"}, changes, f"the recipe of {folder}")
    if found.stage != "finetune":
        raise recipes.RecipeError(
            f"{folder} was pre-trained on videos and cannot act: fine-tune it first, or give --recipe NAME"
        )
    return found


def _suites(text: str, prepared) -> tuple[list[str], list[str]]:
    """Suites and tasks of the bags that the twin can play."""
    from gr1_core.data.bag import Bag
    from gr1_core.sim.suites import parse_suites, suite_tasks
    from gr1_core.sim.tasks import TASKS

    tasks = sorted({Bag(folder).labels.get("task", "") for folder in prepared.bags} & TASKS.keys())
    names = parse_suites(text)
    fitting = [name for name in names if set(suite_tasks(name)) & set(tasks)] if tasks else names
    return (fitting or names), (tasks if fitting else [])
