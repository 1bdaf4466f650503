"""One setting of a backend or a camera source, before it is a ROS parameter. No ROS import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Option(NamedTuple):
    """name, default and what it is for; low and high: inclusive range of a number; choices: the only values allowed.

    live: it may be set while the node runs; the owner's `set(name, value)` is called then.
    """

    name: str
    default: object
    description: str
    low: float | None = None
    high: float | None = None
    choices: Sequence[str] | None = None
    live: bool = False
