"""`gr1 pretrain`."""

from __future__ import annotations

import argparse

from gr1_core.commands import _training

HELP = "learn from videos, by a recipe"


def parser() -> argparse.ArgumentParser:
    return _training.training_parser("pretrain", HELP)


def main(argv: list[str]) -> int:
    return _training.run_stage("pretrain", argv, parser())
