"""`gr1 convert bags`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands._convert import conversion_parser, run_conversion
from gr1_core.commands.arguments import bags, outcomes, rig

HELP = "recorded episodes -> a dataset to train on"


def parser() -> argparse.ArgumentParser:
    parser = conversion_parser("bags", HELP)
    parser.add_argument("src", type=bags, metavar="SRC", help="a bag, or a folder with bags at any depth")
    parser.add_argument(
        "--outcomes",
        type=outcomes,
        default="success",
        metavar="A,B",
        help="episodes to take: success, failure, unfinished, discarded (default: success)",
    )
    parser.add_argument(
        "--images",
        choices=("keep", "jpeg", "png"),
        default="keep",
        help="keep: JPEG as recorded, raw pixels as lossless PNG (default); "
        "jpeg: raw pixels as JPEG of quality 95; png: all as PNG",
    )
    parser.add_argument(
        "--mapping",
        type=Path,
        metavar="FILE",
        help="YAML: topics -> cameras, state, action, for bags of other stacks, which need --rig too "
        "(see docs/how-to/convert_datasets.md)",
    )
    parser.add_argument(
        "--rig",
        type=rig,
        metavar="NAME_OR_FILE",
        help="built-in rig or YAML file instead of the bags' own, which must agree with it",
    )
    return parser


def main(argv: list[str]) -> int:
    return run_conversion(_source, parser().parse_args(argv))


def _source(arguments):
    from gr1_core.data.convert.sources.source import SourceError
    from gr1_core.rig import Rig

    rig = Rig.load(arguments.rig) if arguments.rig else None
    if arguments.mapping is None:
        from gr1_core.data.convert.sources.bags import BagSource

        return BagSource(arguments.src, arguments.outcomes, arguments.images, rig)
    from gr1_core.data.convert.sources.rosbag import RosbagSource

    if rig is None:
        raise SourceError("--mapping needs --rig: the rig of the mapped cameras, state and action")
    return RosbagSource(arguments.src, arguments.mapping, rig, arguments.images)
