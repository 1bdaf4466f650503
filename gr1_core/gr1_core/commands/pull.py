"""`gr1 pull`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "copy a checkpoint or a dataset from the Hugging Face hub to a folder"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 pull", description=HELP)
    parser.add_argument(
        "repository",
        metavar="hf://OWNER/NAME",
        help="checkpoint or dataset; hf://datasets/OWNER/NAME where both have the name; @REVISION: not main",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to make (default: NAME)")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.hub import transfer
    from gr1_core.hub.reference import DATASET, Reference, parse

    given = parse(arguments.repository)
    kind = transfer.kind_of(given)
    reference = Reference(given.repository, kind, given.revision)
    out = arguments.out or Path(given.repository.split("/")[1])
    print(transfer.pull(reference, out, _require_dataset if kind == DATASET else _require_checkpoint))
    return 0


def _require_checkpoint(folder: Path) -> None:
    from gr1_core.model import checkpoint

    checkpoint.load_model(folder)


def _require_dataset(folder: Path) -> None:
    from gr1_core.data.dataset import Dataset

    Dataset(folder)
