"""One setting of an arm driver or a camera driver, before it becomes a ROS parameter. ROS-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Option(NamedTuple):
    """low, high: inclusive range of a number. choices: the only values allowed.

    live: the parameter may be set while the node runs; the driver's `set_option(name, value)` is called then.
    """

    name: str
    default: object
    description: str
    low: float | None = None
    high: float | None = None
    choices: Sequence[str] | None = None
    live: bool = False
