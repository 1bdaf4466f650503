"""Types and actions of arguments that several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping


def count(text: str) -> int:
    """A whole number from 1 up."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 up")
    return int(text)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def refuse_renamed_options(parser: argparse.ArgumentParser, names: Mapping[str, str]) -> None:
    """Refuses old options (old name -> new one) with their new names. They are not shown in the help."""
    for old, new in names.items():
        _renamed(parser, old, new)


def _renamed(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Refuses the option `old` (of any value, or none) with its new name. It is not shown in the help."""
    parser.add_argument(old, nargs="?", action=_Renamed, new=new, help=argparse.SUPPRESS)


class _Renamed(argparse.Action):
    def __init__(self, new: str, **options):
        super().__init__(default=argparse.SUPPRESS, **options)
        self.new = new

    def __call__(self, parser, namespace, values, option_string=None):
        parser.error(f"{option_string} is now {self.new}")
