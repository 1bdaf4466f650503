"""`gr1 import-official`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser, rig

HELP = "make a checkpoint folder of ByteDance's published weights"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 import-official", description=HELP)
    parser.add_argument(
        "--snapshot", type=Path, required=True, metavar="FILE", help="snapshot_ABCD.pt or snapshot_ABC.pt"
    )
    parser.add_argument(
        "--mae", type=Path, metavar="FILE", help="mae_pretrain_vit_base.pth, if the snapshot does not hold it"
    )
    parser.add_argument(
        "--clip",
        type=Path,
        metavar="FILE_OR_DIR",
        help="CLIP ViT-B/32, OpenAI's file or transformers' folder, if the snapshot does not hold it",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="in the layout of ByteDance's configs.json (default: the paper's)",
    )
    parser.add_argument(
        "--rig",
        type=rig,
        default="calvin",
        help="built-in rig or YAML file that the weights were trained on (default: calvin)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the checkpoint folder to write"
    )
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.model.official import import_official

    config = import_official(
        arguments.snapshot, arguments.out, arguments.mae, arguments.clip, arguments.config, arguments.rig
    )
    print(f"{arguments.out}: GR-1 of width {config.width} and {config.layers} layers, rig {arguments.rig}")
    return 0
