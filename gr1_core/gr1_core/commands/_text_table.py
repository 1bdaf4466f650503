"""Plain text tables of the `gr1 bags` commands."""

from __future__ import annotations

import sys


def text_table(*columns: str, right: tuple[str, ...] = ()):
    """A rich Table without lines. right: the columns whose text is right-aligned."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="fold",
            no_wrap=name in right or name == "name",
        )
    return table


def print_table(table) -> None:
    console().print(table)


def console(stderr: bool = False):
    """A rich Console without markup.

    In a file or a pipe its lines are not wrapped, so that they can be searched.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, markup=False, width=None if stream.isatty() else 240)
