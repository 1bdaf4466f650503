"""`gr1 bench data`."""

from __future__ import annotations

from pathlib import Path

from gr1_core.commands.arguments import count

LEROBOT = Path(".venv-lerobot/bin/python")


def add(commands, bench) -> None:
    data = bench.add_parser("data", help="windows a processor second: our loader, mp4 through PyAV, lerobot")
    data.add_argument(
        "dataset", type=Path, metavar="DATASET", help="folder of a LeRobotDataset v3 with images"
    )
    data.add_argument("--threads", type=count, default=2, help="that decode, in our loader (default: 2)")
    data.add_argument(
        "--frames",
        type=count,
        default=1000,
        help="of the first episodes that are read, at most (default: 1000)",
    )
    data.add_argument("--rounds", type=count, default=7, help="how often the readers take turns (default: 7)")
    data.add_argument(
        "--lerobot",
        type=Path,
        metavar="PYTHON",
        help=f"interpreter that can import lerobot (default: {LEROBOT} if it is there)",
    )
    data.set_defaults(run=_bench)


def _bench(arguments) -> int:
    from gr1_core.bench import data

    lerobot = arguments.lerobot or (LEROBOT if LEROBOT.is_file() else None)
    data.run(
        arguments.dataset,
        arguments.threads,
        arguments.frames,
        arguments.rounds,
        lerobot and lerobot.absolute(),
    )
    return 0
