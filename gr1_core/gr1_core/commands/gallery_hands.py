"""`gr1 gallery hands`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "render one image of narrated clips of human hands"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 gallery hands", description=HELP)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="PNG file")
    parser.add_argument("--seed", type=int, default=0, help="selects the videos (default: 0)")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.sim.hands import gallery

    gallery.write_gallery(arguments.out, arguments.seed)
    print(f"{arguments.out}  {arguments.out.stat().st_size / 1e6:.1f} MB")
    return 0
