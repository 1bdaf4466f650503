"""`gr1 bags video`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gr1_core.commands._text_table import console
from gr1_core.commands.arguments import Parser, count

HELP = "write a video of bags: both cameras, instruction, gripper, speed, events and marks"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 bags video", description=HELP)
    parser.add_argument(
        "bags", type=Path, nargs="+", metavar="BAG", help="folders of the bags, in this order"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.mp4", help="file of the video, H.264"
    )
    parser.add_argument(
        "--fps", type=count, default=15, metavar="N", help="frames per second (default: %(default)s)"
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from rich.progress import track

    from gr1_core.data.bag import Bag, BagError
    from gr1_core.data.episode_video import write_video

    out = arguments.out
    if out.suffix != ".mp4":
        raise BagError(f"--out: '{out}' does not end in .mp4: the video is H.264 in MP4")
    if not out.parent.is_dir():
        raise BagError(f"--out: there is no folder '{out.parent}': make it, or choose another one")
    bags = [Bag(folder) for folder in arguments.bags]
    no_bar = len(bags) < 2 or not sys.stderr.isatty()
    progress = track(bags, "drawing", transient=True, disable=no_bar, console=console(stderr=True))
    frames = write_video(out, progress, arguments.fps)
    episodes = f"{len(bags)} episode{'' if len(bags) == 1 else 's'}"
    print(f"{out}: {episodes}, {frames / arguments.fps:.1f} s, {out.stat().st_size * 1e-6:.1f} MB")
    return 0
