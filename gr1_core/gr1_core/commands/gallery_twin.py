"""`gr1 gallery twin`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser, rig

HELP = "render the images and the video of the twin that the documents show"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 gallery twin", description=HELP)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the images")
    parser.add_argument("--seed", type=int, default=5, help="layout (default: 5)")
    parser.add_argument("--tasks", metavar="A,B", help="tasks in the video (default: four different ones)")
    parser.add_argument(
        "--rig", type=rig, default="kinova_gen2", help="built-in rig or YAML file (default: kinova_gen2)"
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.sim import gallery

    tasks = arguments.tasks.split(",") if arguments.tasks else gallery.VIDEO_TASKS
    for path in gallery.write_gallery(arguments.out, arguments.seed, tasks, arguments.rig):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    return 0
