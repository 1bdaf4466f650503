"""`gr1 convert lerobot`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands._convert import conversion_parser, run_conversion
from gr1_core.commands.arguments import rig

HELP = "one or several LeRobotDatasets (v2.0, v2.1, v3.0) -> one dataset to train on"


def parser() -> argparse.ArgumentParser:
    parser = conversion_parser("lerobot", HELP)
    parser.add_argument(
        "src",
        type=Path,
        nargs="+",
        metavar="SRC",
        help="folder with meta/info.json; several become one dataset",
    )
    parser.add_argument(
        "--mapping",
        type=Path,
        metavar="FILE",
        help="YAML: features -> cameras, state, action (see docs/how-to/convert_datasets.md)",
    )
    parser.add_argument(
        "--rig",
        type=rig,
        metavar="NAME_OR_FILE",
        help="built-in rig or YAML file (default: the dataset's meta/rig.yaml)",
    )
    return parser


def main(argv: list[str]) -> int:
    return run_conversion(_source, parser().parse_args(argv))


def _source(arguments):
    from gr1_core.data.convert.sources.joined import JoinedSource
    from gr1_core.data.convert.sources.lerobot import LeRobotSource

    sources = [LeRobotSource(root, arguments.mapping, arguments.rig) for root in arguments.src]
    return sources[0] if len(sources) == 1 else JoinedSource(sources)
