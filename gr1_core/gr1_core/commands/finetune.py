"""`gr1 finetune`."""

from __future__ import annotations

import argparse

from gr1_core.commands import _training

HELP = "learn to act from demonstrations, by a recipe"


def parser() -> argparse.ArgumentParser:
    return _training.training_parser("finetune", HELP)


def main(argv: list[str]) -> int:
    return _training.run_stage("finetune", argv, parser())
