"""`gr1 convert ego4d`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands._convert import conversion_parser, run_conversion
from gr1_core.commands.arguments import count

HELP = "Ego4D -> a dataset to pre-train on: clips of 3 s around the narrations, 3 frames per second"


def parser() -> argparse.ArgumentParser:
    parser = conversion_parser("ego4d", HELP)
    parser.add_argument(
        "src",
        type=Path,
        metavar="SRC",
        help="folder with v2/annotations/narration.json and v2/full_scale or v2/video_540ss",
    )
    parser.add_argument(
        "--clips",
        type=count,
        metavar="N",
        help="only N clips, drawn from all narrations: the paper has 800000",
    )
    parser.add_argument("--seed", type=int, default=0, help="which clips --clips draws (default: 0)")
    return parser


def main(argv: list[str]) -> int:
    return run_conversion(_source, parser().parse_args(argv))


def _source(arguments):
    from gr1_core.data.convert.sources.ego4d import Ego4DSource

    return Ego4DSource(arguments.src, arguments.clips, arguments.seed)
