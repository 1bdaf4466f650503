"""Faults of the simulated rig at a chosen time: NODE[:KIND]:AT[+FOR]. Imports ROS only when it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gr1_bringup.arguments import SettingError

if TYPE_CHECKING:
    from gr1_bringup.stack import Node

DEFAULT_KIND = "drop_out"
FORM = "NODE[:KIND]:AT[+FOR], such as camera_static:3s or arm:stuck:5s+2s"
_GRAMMAR = re.compile(
    r"(?P<node>[^:]+)(:(?P<kind>[^:]+))?:(?P<at>\d+(\.\d+)?)s?(\+(?P<lasts>\d+(\.\d+)?)s?)?", re.ASCII
)


@dataclass(frozen=True)
class Fault:
    """at: s after all nodes are up; lasts: s, None: until the end."""

    node: str
    kind: str
    at: float
    lasts: float | None = None


def possible_faults(nodes: Iterable[Node]) -> dict[str, tuple[str, ...]]:
    """The simulated nodes among these, and the faults that each of them has."""
    # Both import ROS, which takes a moment that a run without faults need not spend.
    from gr1_robot.arm.drivers.sim import backend as arm
    from gr1_robot.cameras.drivers import sim as camera

    found = {}
    for node in nodes:
        if node.parameters.get("camera_driver") == "sim":
            found[node.name] = tuple(kind for kind in camera.FAULTS if kind != "none")
        elif node.executable == "arm_node" and node.parameters.get("robot") == "sim":
            found[node.name] = tuple(kind for kind in arm.FAULTS if kind != "none")
    return found


def parse(words: Iterable[str], possible: Mapping[str, tuple[str, ...]]) -> list[Fault]:
    """The faults named on the command line. possible: `possible_faults`. Raises SettingError with what is
    possible.
    """
    return [_parse(word, possible) for word in words]


def _parse(word: str, possible: Mapping[str, tuple[str, ...]]) -> Fault:
    if not possible:
        raise SettingError(
            f"fault: '{word}': only a simulated rig has faults to inject; run with --robot sim"
        )
    match = _GRAMMAR.fullmatch(word)
    if not match:
        raise SettingError(f"fault: '{word}' is not {FORM}")
    node, kind = match["node"], match["kind"] or DEFAULT_KIND
    if node not in possible:
        raise SettingError(f"fault: '{word}': '{node}' is not one of {', '.join(possible)}")
    if kind not in possible[node]:
        raise SettingError(
            f"fault: '{word}': {node} has no fault '{kind}', there are {', '.join(possible[node])}"
        )
    lasts = float(match["lasts"]) if match["lasts"] else None
    if lasts == 0.0:
        raise SettingError(
            f"fault: '{word}': a fault of 0 s shows nothing; leave '+{match['lasts']}' out, or give a "
            "longer time"
        )
    return Fault(node, kind, float(match["at"]), lasts)


class FaultInjector:
    """Sets the faults of a running stack at their times. node: the rclpy node for the calls; say(text): a
    line for the user.
    """

    def __init__(self, faults: Iterable[Fault], node, say: Callable[[str], None]):
        from rcl_interfaces.srv import SetParameters

        self._say = say
        self.active: dict[str, Fault] = {}
        self._due = sorted(
            [(fault.at, True, fault) for fault in faults]
            + [(fault.at + fault.lasts, False, fault) for fault in faults if fault.lasts is not None],
            key=lambda event: event[0],
        )
        # Created before the nodes are up, so that no discovery is waited for when a fault is due.
        self._clients = {
            name: node.create_client(SetParameters, f"{name}/set_parameters")
            for name in {fault.node for fault in faults}
        }

    def due_in(self, seconds: float) -> float:
        """Seconds until the next call of `inject_due`; infinite when nothing is left. seconds: since all
        nodes are up.
        """
        return max(self._due[0][0] - seconds, 0.0) if self._due else float("inf")

    def inject_due(self, seconds: float) -> None:
        """Sets and clears the faults that are due by now."""
        while self._due and self._due[0][0] <= seconds:
            _, begins, fault = self._due.pop(0)
            if begins:
                self.active[fault.node] = fault
                self._set_fault(
                    fault, fault.kind, f"fault: {fault.node} {fault.kind} from {seconds:.1f} s on"
                )
            elif self.active.get(fault.node) == fault:  # else another fault has replaced it
                del self.active[fault.node]
                self._set_fault(
                    fault, "none", f"fault: {fault.node} {fault.kind} is over after {fault.lasts:g} s"
                )

    def title(self) -> str:
        """The active faults, for the table's title; empty if there are none."""
        return ", ".join(f"FAULT {fault.node} {fault.kind}" for fault in self.active.values())

    def _set_fault(self, fault: Fault, value: str, text: str) -> None:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        client = self._clients[fault.node]
        if not client.service_is_ready():
            return self._say(f"{text}: NOT set, {fault.node} does not answer")
        request = SetParameters.Request(parameters=[Parameter("sim.fault", value=value).to_parameter_msg()])
        client.call_async(request).add_done_callback(lambda future: self._answered(text, future.result()))

    def _answered(self, text: str, response) -> None:
        result = response.results[0]
        self._say(text if result.successful else f"{text}: NOT set, {result.reason}")
