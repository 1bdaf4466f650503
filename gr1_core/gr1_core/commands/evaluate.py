"""`gr1 evaluate data`."""

from __future__ import annotations

from pathlib import Path

from gr1_core.commands.arguments import count


def add(commands, bench) -> None:
    kinds = commands.add_parser("evaluate", help="how good a checkpoint is").add_subparsers(required=True, metavar="ON")
    data = kinds.add_parser("data", help="held-out episodes of a data set: losses, action errors in mm and degrees, gripper accuracy")
    data.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    data.add_argument("--dataset", type=Path, required=True, metavar="DIR")
    data.add_argument("--episodes", choices=("held-out", "all"), help="(default: held-out where the checkpoint knows them, else all)")
    data.add_argument("--windows", type=count, default=4096, help="at most so many, evenly spaced (default: 4096)")
    data.add_argument("--untrained", action="store_true", help="beside it, a model of the same sizes with random weights")
    data.set_defaults(run=_data)


def _data(arguments) -> int:
    from gr1_core.train.judge import run

    run(arguments.checkpoint, arguments.dataset, arguments.episodes, arguments.windows, arguments.untrained)
    return 0
