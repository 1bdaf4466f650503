"""`gr1 bench policy`."""

from __future__ import annotations

from pathlib import Path

from gr1_core.commands.arguments import count


def add(commands, bench) -> None:
    policy = bench.add_parser(
        "policy", help="the cached control step against the plain full-window loop, on the CPU"
    )
    policy.add_argument(
        "--config",
        choices=("paper", "demo", "small"),
        default="paper",
        help="sizes, with random weights (default: paper)",
    )
    policy.add_argument("--checkpoint", type=Path, metavar="DIR", help="measure this checkpoint instead")
    policy.add_argument(
        "--rig", default="calvin", help="rig whose frame sizes are used with --config (default: calvin)"
    )
    policy.add_argument("--threads", type=count, default=2, help="(default: 2)")
    policy.add_argument(
        "--rounds", type=count, default=7, help="how often the variants take turns (default: 7)"
    )
    policy.set_defaults(run=_bench)


def _bench(arguments) -> int:
    from gr1_core.bench import policy

    policy.run(arguments.config, arguments.checkpoint, arguments.rig, arguments.threads, arguments.rounds)
    return 0
