"""The live stack as a source. It needs ROS, so a ROS package brings it by an entry point of the group GROUP:
a module-level object with the methods of `LiveSource`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Protocol

from gr1_core.view.messages import StackLog

GROUP = "gr1.live_view"


class Stack(Protocol):
    """A running stack that is heard.

    groups: of entities that it has. missing: topics that nobody publishes, or with another type, and why.
    """

    groups: set[str]
    missing: dict[str, str]

    def pass_to(self, log: StackLog, running: Callable[[float], bool]) -> None:
        """Gives each message to `log` until running(seconds since the beginning) is false."""

    def close(self) -> None: ...


class LiveSource(Protocol):
    def listen(self, namespace: str, wait_s: float) -> Stack:
        """Listens to a stack, without a publisher, a service or a parameter of its own.

        Raises ViewError where there is none after `wait_s` seconds.
        """


def load() -> LiveSource | None:
    """The installed source; None where no ROS package brings one."""
    return next((point.load() for point in metadata.entry_points(group=GROUP)), None)
