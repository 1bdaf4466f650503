"""`gr1 bench data`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser, count

HELP = "loading speed, windows per CPU second: this loader, mp4 through PyAV, lerobot"
LEROBOT = Path(".venv-lerobot/bin/python")


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bench data", description=HELP)
    parser.add_argument(
        "dataset", type=Path, metavar="DATASET", help="folder of a LeRobotDataset v3 with images"
    )
    parser.add_argument(
        "--threads", type=count, default=2, help="decoding threads of this loader (default: 2)"
    )
    parser.add_argument(
        "--frames",
        type=count,
        default=1000,
        help="at most so many frames, of the first episodes (default: 1000)",
    )
    parser.add_argument(
        "--rounds", type=count, default=7, help="how often the readers take turns (default: 7)"
    )
    parser.add_argument(
        "--lerobot",
        type=Path,
        metavar="PYTHON",
        help=f"interpreter that can import lerobot (default: {LEROBOT} if it exists)",
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
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
