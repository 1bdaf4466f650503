"""What another package may add to `gr1 up`: options, and work beside the running stack. ROS-free.

A package names its extension by an entry point of the group `gr1_bringup.extensions`. The value is a
module-level object with the methods of `Extension`. Its module is imported by `gr1 up --help`, so it imports
at its top only what is cheap.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gr1_common.stack_monitor import StackMonitor

GROUP = "gr1_bringup.extensions"


class ExtensionError(RuntimeError):
    """An extension cannot go on; the run ends with this text and exit code 1."""


@dataclass(frozen=True)
class RunContext:
    """What an extension gets of a run.

    folder: the run's folder. video: file for the run's video, None: none is wanted. say(text, style): a line
    for the user. stop(): the emergency stop, for a key.
    """

    folder: Path
    video: Path | None
    say: Callable[..., None]
    stop: Callable[[], None]


class Extension:
    """Adds options to `gr1 up`; where they are used, something runs beside the stack."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds this extension's options."""

    def prepare(self, options: argparse.Namespace, chosen: dict[str, str]) -> RunningExtension | None:
        """None where the options do not ask for it. Raises SettingError for options that cannot be used.

        options: all options as they were given. chosen: the stack's settings; it may change them.
        """


class RunningExtension:
    """Hooks of one run, in the order of their calls; none of them needs to be overridden."""

    makes_video = False
    """Whether it writes the run's video itself, after the run."""

    def attach(self, context: RunContext, monitor: StackMonitor) -> None:
        """Before the monitor is started: create subscriptions and clients on `monitor.node`."""

    def start(self) -> None:
        """All nodes are up."""

    def terminal(self) -> contextlib.AbstractContextManager:
        """Held while the run is shown: a place to read the keyboard from."""
        return contextlib.nullcontext()

    def poll(self, seconds: float) -> bool:
        """Called some 5 times a second. seconds: since all nodes are up. True: end. Raises ExtensionError."""
        return False

    def next_poll_in(self, seconds: float) -> float:
        """Seconds until `poll` is wanted at the latest."""
        return float("inf")

    def title(self) -> str:
        """Words for the title of the live table."""
        return ""

    def decorate(self, table: RenderableType) -> RenderableType:
        """The live table with what this extension shows around it."""
        return table

    def line(self) -> str:
        """Words for the status line of an output that is not a terminal."""
        return ""

    def close(self) -> None:
        """The run is over, the nodes are still there."""

    def conclude(self, interrupted: Callable[[], bool]) -> None:
        """The nodes have ended: print results. interrupted(): whether the user has asked once more for the
        end.
        """


def load_extensions() -> Mapping[str, Extension]:
    """The installed extensions by name."""
    points = sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name: point.load() for point in points}
