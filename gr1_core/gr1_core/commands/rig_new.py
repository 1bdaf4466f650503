"""`gr1 rig new`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from gr1_core.commands.arguments import Mistake, Parser, checking, rig

HELP = "write a rig file to fill in: every field with its unit, meaning and usual value"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 rig new", description=HELP)
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the YAML file to write, for example my_rig.yaml"
    )
    parser.add_argument(
        "--like",
        type=rig,
        default="kinova_gen2",
        metavar="RIG",
        help="built-in rig or YAML file whose values are taken (default: kinova_gen2)",
    )
    parser.add_argument(
        "--control-hz",
        type=float,
        metavar="HZ",
        help="control rate, Hz; one action unit keeps its speed (default: that of --like)",
    )
    for role in ("static", "wrist"):
        parser.add_argument(
            f"--{role}",
            type=_size,
            metavar="WxH",
            help=f"size of the {role} camera's frames in pixels, such as 1280x720 (default: that of --like)",
        )
        parser.add_argument(
            f"--{role}-crop",
            type=_crop,
            metavar="CROP",
            help="what the model sees of it: square, none, or LEFT,TOP,WIDTH,HEIGHT in pixels",
        )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core import rig_guide
    from gr1_core.rig import Rig

    cameras = {}
    for role in ("static", "wrist"):
        size, crop = getattr(arguments, role), getattr(arguments, f"{role}_crop")
        cameras[role] = {} if size is None else {"width": size[0], "height": size[1]}
        cameras[role] |= {} if crop is None else {"crop": crop}
    with checking():
        if arguments.file.suffix not in (".yaml", ".yml"):
            raise Mistake(f"'{arguments.file}': give a file that ends in .yaml")
        if arguments.file.exists():
            raise Mistake(f"'{arguments.file}' is there already: choose another name, or delete it first")
        made = rig_guide.like(Rig.load(arguments.like), arguments.file.stem, arguments.control_hz, cameras)
    arguments.file.write_text(rig_guide.text(made, arguments.like))
    print(f"{arguments.file}: fill in what differs on your robot, then `gr1 rig check {arguments.file}`")
    return 0


def _size(text: str) -> tuple[int, int]:
    if not re.fullmatch("[1-9][0-9]{0,4}x[1-9][0-9]{0,4}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 1280x720")
    width, height = map(int, text.split("x"))
    return width, height


def _crop(text: str) -> str | tuple[int, ...]:
    if text in ("square", "none"):
        return text
    if not re.fullmatch("[0-9]+(,[0-9]+){3}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not square, none or LEFT,TOP,WIDTH,HEIGHT in pixels")
    return tuple(map(int, text.split(",")))
