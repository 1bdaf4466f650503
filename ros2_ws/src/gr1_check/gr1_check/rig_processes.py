"""The rig under check: the arm node and the two camera nodes as processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from gr1_bringup import arguments, processes, stack
from gr1_bringup.startup import DISCOVERY, GHOST_LIMIT, NODES, START_LIMIT, another_stack

RIG_NODES = ("arm", "camera_static", "camera_wrist")


class RigGone(RuntimeError):
    """The rig cannot be checked: another stack runs, or a node has ended by itself."""


def settings(**given: str) -> dict[str, str]:
    """robot, static, wrist, hardware, rig as the stack understands them; raises SettingError."""
    chosen = arguments.with_defaults(given)
    stack.rig_settings(chosen)
    return chosen


def nodes(chosen: Mapping[str, str]) -> list[stack.Node]:
    found = stack.rig_nodes(chosen)
    for node in found:
        processes.program(node)
    return found


class RigProcesses:
    """The nodes' processes, their logs and parameters in `folder`."""

    def __init__(
        self,
        chosen: Mapping[str, str],
        folder: Path,
        environment: Mapping[str, str],
        echo: Callable[[str], None],
    ):
        self._nodes = nodes(chosen)
        self._folder = folder
        self._processes = processes.Processes(folder, environment, echo)

    def start(self, client) -> None:
        """Starts the nodes unless another stack runs. Raises RigGone."""
        if not client.wait(lambda: set(client.monitor.node_counts()) & set(NODES), DISCOVERY):
            pass
        elif not client.wait(lambda: not set(client.monitor.node_counts()) & set(NODES), GHOST_LIMIT):
            raise RigGone(another_stack())
        client.monitor.clear_statuses()
        self._processes.start(self._nodes)

    def until_up(self, client) -> None:
        """Waits until each node has published a status and the arm node listens; START_LIMIT s at most."""
        client.wait(
            lambda: all(client.statuses(name) for name in RIG_NODES) and client.is_connected(), START_LIMIT
        )

    def dead(self) -> str:
        """Empty, or which node has ended by itself, with its last line."""
        process = self._processes.dead()
        if not process:
            return ""
        words = [line.strip() for line in process.last_lines() if line.strip()]
        return f"{process.how_it_ended()}: {words[-1] if words else f'see {process.log.name}'}"

    def alive(self) -> None:
        """Raises RigGone when a node has ended by itself."""
        if dead := self.dead():
            raise RigGone(dead)

    def stop(self) -> None:
        self._processes.stop()
