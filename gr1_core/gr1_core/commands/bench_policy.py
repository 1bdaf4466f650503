"""`gr1 bench policy`."""

from __future__ import annotations

import argparse

from gr1_core.commands.arguments import Parser, checkpoint, count, rig

HELP = "time of the control step: on a CPU against the plain full-window loop, on a GPU as a graph"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bench policy", description=HELP)
    parser.add_argument(
        "--config",
        choices=("paper", "demo", "small"),
        default="paper",
        help="model sizes, with random weights (default: paper)",
    )
    parser.add_argument(
        "--checkpoint", type=checkpoint, metavar="DIR", help="measure this checkpoint instead"
    )
    parser.add_argument(
        "--rig",
        type=rig,
        default="calvin",
        help="rig whose frame sizes are used with --config (default: calvin)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")
    parser.add_argument("--threads", type=count, default=2, help="CPU threads (default: 2)")
    parser.add_argument(
        "--rounds", type=count, default=7, help="how often the variants take turns (default: 7)"
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.bench import policy

    if arguments.device == "cuda":
        policy.run_cuda(arguments.config, arguments.checkpoint, arguments.rig)
        return 0
    policy.run(arguments.config, arguments.checkpoint, arguments.rig, arguments.threads, arguments.rounds)
    return 0
