"""Counts in messages."""

from __future__ import annotations


def plural(number: float, one: str, many: str = "", spec: str = "") -> str:
    """Such as "1 bag", "2 bags". many: where it is not `one` with an s. spec: format of the number."""
    return f"{number:{spec}} {one if number == 1 else many or one + 's'}"
