"""The rig under check: the arm's node and the two cameras' as processes, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from gr1_bringup import processes, stack
from gr1_bringup.up import ANOTHER, DISCOVERY, GHOST_LIMIT, NODES, START_LIMIT

MINE = ("arm", "camera_static", "camera_wrist")


class Gone(RuntimeError):
    """The rig cannot be checked: another stack runs, or a node has ended by itself."""


def settings(**given: str) -> dict[str, str]:
    """robot, static, wrist, hardware, rig as the stack understands them; raises stack.SettingError."""
    chosen = {argument.name: argument.default for argument in stack.ARGUMENTS} | given
    stack.rig_settings(chosen)
    return chosen


def nodes(chosen: Mapping[str, str]) -> list[stack.Node]:
    found = stack.rig_nodes(chosen)
    for node in found:
        processes.program(node)
    return found


class Rig:
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

    def start(self, ear) -> None:
        """Starts the nodes unless another stack runs. Raises Gone."""
        if not ear.wait(lambda: set(ear.monitor.present()) & set(NODES), DISCOVERY):
            pass
        elif not ear.wait(lambda: not set(ear.monitor.present()) & set(NODES), GHOST_LIMIT):
            raise Gone(ANOTHER.format(domain=os.environ.get("ROS_DOMAIN_ID", "0")))
        ear.monitor.forget()
        self._processes.start(self._nodes)

    def until_up(self, ear) -> None:
        """Waits until each node has spoken and the arm's listens, for as long as `gr1 up` would."""
        ear.wait(lambda: all(ear.statuses(name) for name in MINE) and ear.listened_to(), START_LIMIT)

    def dead(self) -> str:
        """ "" or which node has ended by itself, with its last words."""
        process = self._processes.dead()
        if not process:
            return ""
        words = [line.strip() for line in process.last_lines() if line.strip()]
        return f"{process.how_it_ended()}: {words[-1] if words else f'see {process.log.name}'}"

    def alive(self) -> None:
        """Raises Gone when a node has ended by itself."""
        if dead := self.dead():
            raise Gone(dead)

    def stop(self) -> None:
        self._processes.stop()
