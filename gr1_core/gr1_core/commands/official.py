"""`gr1 import-official`."""

from __future__ import annotations

from pathlib import Path


def add(commands, bench) -> None:
    official = commands.add_parser(
        "import-official", help="make a checkpoint folder of ByteDance's published weights"
    )
    official.add_argument(
        "--snapshot", type=Path, required=True, metavar="FILE", help="snapshot_ABCD.pt or snapshot_ABC.pt"
    )
    official.add_argument(
        "--mae", type=Path, metavar="FILE", help="mae_pretrain_vit_base.pth, if the snapshot does not hold it"
    )
    official.add_argument(
        "--clip",
        type=Path,
        metavar="FILE_OR_DIR",
        help="CLIP ViT-B/32, OpenAI's file or transformers' folder, if the snapshot does not hold it",
    )
    official.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="in the layout of ByteDance's configs.json (default: the paper's)",
    )
    official.add_argument(
        "--rig",
        default="calvin",
        help="built-in rig or YAML file that the weights were trained on (default: calvin)",
    )
    official.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the checkpoint folder to write"
    )
    official.set_defaults(run=_import)


def _import(arguments) -> int:
    from gr1_core.model.official import import_official

    config = import_official(
        arguments.snapshot, arguments.out, arguments.mae, arguments.clip, arguments.config, arguments.rig
    )
    print(f"{arguments.out}: GR-1 of width {config.width} and {config.layers} layers, rig {arguments.rig}")
    return 0
