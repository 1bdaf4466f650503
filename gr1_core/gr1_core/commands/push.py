"""`gr1 push`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser
from gr1_core.pretrained import resolve

HELP = "upload a checkpoint or a dataset to the Hugging Face hub, with a generated card"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 push", description=HELP)
    parser.add_argument("folder", type=resolve, metavar="FOLDER", help="checkpoint folder or dataset folder")
    parser.add_argument("repository", metavar="hf://OWNER/NAME", help="where to; made if it is not there")
    parser.add_argument(
        "--private", action="store_true", help="a repository that is made is visible to its owner only"
    )
    parser.add_argument(
        "--license", default="", metavar="SPDX", help="licence that the card names, e.g. apache-2.0"
    )
    parser.add_argument("--message", default="", metavar="TEXT", help="of the commit")
    parser.add_argument("--show-card", action="store_true", help="print the card and upload nothing")
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    from gr1_core.hub.reference import DATASET, MODEL, HubError, Reference, parse

    given, folder = parse(arguments.repository), arguments.folder
    kind = DATASET if (folder / "meta" / "info.json").is_file() else MODEL
    if kind == MODEL and not (folder / "config.json").is_file():
        raise HubError(f"{folder} is neither a checkpoint (config.json) nor a dataset (meta/info.json)")
    if given.kind == DATASET and kind == MODEL:
        raise HubError(f"{folder} is a checkpoint: push it to hf://{given.repository}")
    reference = Reference(given.repository, kind, given.revision)
    card = _card(reference, folder, arguments.license)
    if arguments.show_card:
        print(card, end="")
        return 0
    from gr1_core.hub import transfer

    print(transfer.push(reference, folder, card, private=arguments.private, message=arguments.message))
    return 0


def _card(reference, folder: Path, licence: str) -> str:
    """The folder's own card, or a generated one, which also finds out whether the folder can be used."""
    from gr1_core.hub import cards
    from gr1_core.hub.reference import DATASET
    from gr1_core.model import checkpoint

    if reference.kind == DATASET:
        made = cards.dataset_card(folder, reference, licence)
    else:
        checkpoint.load_model(folder)
        made = cards.checkpoint_card(folder, reference, licence)
    own = folder / "README.md"
    return own.read_text(encoding="utf-8") if own.is_file() else made
