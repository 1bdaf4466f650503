"""`gr1 replay`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gr1_core.commands.arguments import Parser, bags, checkpoint

NO_VERDICT = 4
HELP = "run a checkpoint open-loop over recorded episodes and keep the verdict with the checkpoint"


def parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="gr1 replay",
        description=f"{HELP}. Episodes that it was trained on do not count.",
        epilog="Exit codes: 0 passed; 3 failed: the checkpoint may not move an arm; 4 trained on all of "
        "these: no verdict; 1 an error; 2 a mistake in the words.",
    )
    parser.add_argument("bags", type=bags, nargs="+", metavar="BAG", help="bags, or folders of bags")
    parser.add_argument(
        "--checkpoint",
        type=checkpoint,
        required=True,
        metavar="DIR",
        help="folder of the checkpoint, or demo: the one that comes with the package",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the plots (default: out/replay)")
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "int8", "fp64"),
        default="auto",
        help="of the model (default: auto)",
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from rich.console import Console
    from rich.progress import Progress

    from gr1_core.data.bag import Bag, find_bags
    from gr1_core.eval import plots, trained_on, verdict
    from gr1_core.eval.replay import ReplayError, check_replays, replay_bag, summary
    from gr1_core.policy import Policy

    bags = [Bag(folder) for path in arguments.bags for folder in find_bags(path)]
    if not bags:
        raise ReplayError(f"no bags in {', '.join(map(str, arguments.bags))}")
    _, trained, unknown = trained_on.split(arguments.checkpoint, bags)
    console, out = Console(highlight=False), arguments.out or Path("out/replay")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReplayError(
            f"--out {out} cannot be made ({error.strerror}): choose a folder that you may write to"
        ) from error
    policy = Policy.from_pretrained(arguments.checkpoint, precision=arguments.precision)
    policy.warm_up()
    done = []
    with Progress(console=console, transient=True) as progress:
        for bag in progress.track(bags, description="replaying"):
            one = replay_bag(policy, bag)
            if len(one.recorded):
                plots.plot_actions(one, policy.rig, out / f"{one.name}-actions.png")
                plots.plot_frames(one, out / f"{one.name}-frames.png")
            done.append(one)
    names = {bag.name for bag in trained}
    if names and not any(one.name not in names for one in done):
        console.print(f"plots: {out}", soft_wrap=True)
        console.print(
            f"trained on {'these' if len(done) > 1 else 'this'}: no verdict. Replay episodes that the "
            "checkpoint was not trained on; until then nothing is known of new ones.",
            style="bold yellow",
            soft_wrap=True,
        )
        print(json.dumps({"passed": None} | summary(done, policy.rig)))
        return NO_VERDICT
    if names:
        console.print(f"not counted, trained on these: {', '.join(sorted(names))}", soft_wrap=True)
    if unknown:
        console.print(f"whether it was trained on these episodes is not known: {unknown}", soft_wrap=True)
    done = [one for one in done if one.name not in names]
    checks = check_replays(done, policy.rig)
    result = verdict.Verdict(tuple(one.name for one in done), checks)
    file = result.save(arguments.checkpoint)
    for check in checks:
        console.print(
            f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.text}",
            style="" if check.passed else "red",
            soft_wrap=True,
        )
    console.print(f"plots: {out}; verdict: {file}", soft_wrap=True)
    if not result.passed:
        console.print(
            "This checkpoint is not allowed to move an arm (override: ignore_replay:=true of `gr1 up` and "
            "the launch file).",
            style="bold red",
            soft_wrap=True,
        )
    print(json.dumps({"passed": result.passed} | summary(done, policy.rig)))
    return 0 if result.passed else 3
