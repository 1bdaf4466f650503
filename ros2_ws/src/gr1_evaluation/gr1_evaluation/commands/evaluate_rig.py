"""`gr1 evaluate rig`: two checkpoints on the running stack, blinded, in pairs, until it is decided."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Mistake, Parser, checking, count

HELP = "compare two checkpoints on the running stack: blinded pairs, a person or the twin judges"
SECONDS = 20.0


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 evaluate rig",
        description="Compare two checkpoints on the running stack (gr1 up --instruction TEXT, any robot). "
        "Both are tried on each layout, in a blinded order. A person judges with the desk, the headset or "
        "the keyboard: s success, f failure, r redo, Enter start; with robot sim the twin judges. It ends "
        "when it is decided which one is better. The same command goes on after an interruption.",
    )
    made.add_argument("--checkpoints", required=True, metavar="A,B", help="folders or names of the two")
    made.add_argument(
        "--tasks", required=True, metavar="T,...", help="instructions, or names of the twin's tasks, in turn"
    )
    made.add_argument("--trials", type=count, default=20, metavar="N", help="pairs at most (default: 20)")
    made.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S", help=f"limit of a trial (default: {SECONDS:g})"
    )
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of results and videos")
    made.add_argument(
        "--judge",
        choices=("auto", "person", "twin"),
        default="auto",
        help="who judges; auto: the twin with robot sim, else a person",
    )
    made.add_argument("--reveal", action="store_true", help="open the order now, print the table, and end")
    made.add_argument(
        "--seed", type=int, metavar="N", help="of the order; without it nobody knows the seed beforehand"
    )
    made.add_argument("--first-seed", type=int, metavar="N", help="of the twin's layouts")
    made.add_argument("--namespace", default="", help="the stack's ROS namespace")
    return made


def main(argv: list[str]) -> int:
    """The last line printed is one JSON document, see gr1_evaluation.rig.report.document."""
    options = parser().parse_args(argv)
    with checking():
        plan = _plan(options)
    from gr1_evaluation.rig import run

    return run.run(options, plan)


def _plan(options: argparse.Namespace):
    from gr1_core import pretrained
    from gr1_core.eval.checkpoint_records import fingerprint
    from gr1_core.sim import suites
    from gr1_evaluation.rig.records import Plan

    names = options.checkpoints.split(",")
    if len(names) != 2:
        raise Mistake(f"--checkpoints {options.checkpoints}: give two, separated by a comma")
    folders = [str(Path(pretrained.require(name.strip())).resolve()) for name in names]
    weights = tuple(fingerprint(folder) for folder in folders)
    if weights[0] == weights[1]:
        raise Mistake(f"--checkpoints {options.checkpoints}: both have the same weights")
    tasks = tuple(task.strip() for task in options.tasks.split(",") if task.strip())
    if not tasks:
        raise Mistake("--tasks: give one at least")
    if not 1.0 <= options.seconds <= 600.0:
        raise Mistake(f"--seconds {options.seconds:g}: 1 to 600")
    first = suites.FIRST_TEST_SEED if options.first_seed is None else options.first_seed
    return Plan(tuple(folders), weights, tasks, options.trials, options.seconds, first)
