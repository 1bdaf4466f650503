"""The hardware file: node parameters of one laboratory, such as serial numbers and addresses. ROS-free.

arm: {kinova_gen2.sdk: /opt/kinova}
camera_wrist: {realsense.serial: "123456789", rate_hz: 30.0}
teleop: {host: 10.0.0.5, scale: 0.6}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gr1_bringup.files import share
from gr1_core import strict_yaml
from gr1_core.suggestions import did_you_mean, neighbours

NODES = ("arm", "camera_static", "camera_wrist", "policy", "recorder", "teleop")
_ARGUMENTS = ("robot", "rig", "camera_driver", "role")
_MORE = {
    "camera_static": ("width", "height"),
    "camera_wrist": ("width", "height"),
    "teleop": ("host",),
}
"""Parameters that a node has beside those of its file in config/."""


class HardwareError(ValueError):
    """A hardware file that cannot be used."""


def load(file: str) -> dict[str, dict[str, object]]:
    """Parameters by node. Raises HardwareError, naming the file and the entry."""
    path = Path(file)
    if not path.is_file():
        raise HardwareError(f"no file '{file}'{did_you_mean(file, neighbours(path))}")
    given = strict_yaml.read(path, HardwareError) or {}
    if not isinstance(given, Mapping):
        raise HardwareError(f"'{file}' must hold parameters by node ({', '.join(NODES)}), not {given!r}")
    found = {}
    for node, parameters in given.items():
        if node not in NODES:
            hint = did_you_mean(str(node), NODES) or f"; there are {', '.join(NODES)}"
            raise HardwareError(f"'{file}' has parameters for '{node}'{hint}")
        if not isinstance(parameters, Mapping):
            raise HardwareError(
                f"'{file}': {node} must hold parameters, such as 'realsense.serial: \"0123\"', not "
                f"{parameters!r}"
            )
        found[node] = {str(name): value for name, value in parameters.items()}
        known = [*defaults(node), *_MORE.get(node, ())]
        for name, value in found[node].items():
            _check(file, node, name, value, known)
    return found


def stream_rates(
    lab: Mapping[str, Mapping[str, object]],
    streams: Sequence[str] = ("camera_static", "camera_wrist", "sim_state"),
) -> dict[str, float]:
    """The rates, Hz, that recorder and teleoperation expect, as their parameters: those of the nodes that
    publish the streams. lab: what `load` has read.
    """
    found = {}
    for stream in streams:
        node, name = ("arm", "sim.state_hz") if stream == "sim_state" else (stream, "rate_hz")
        found[f"hz.{stream}"] = float((defaults(node) | dict(lab.get(node, {})))[name])
    return found


def defaults(node: str) -> dict[str, object]:
    """The parameters of a node's own file in config/, nested names joined by dots."""
    raw = strict_yaml.read(share() / "config" / f"{node}.yaml", HardwareError)
    return strict_yaml.flatten(raw["/**"]["ros__parameters"])


def _check(file: str, node: str, name: str, value: object, known: list[str]) -> None:
    if name in _ARGUMENTS:
        raise HardwareError(
            f"'{file}': {node} sets '{name}', which is an argument of the stack: leave it out here"
        )
    # Those of a driver are checked by the node, which knows the installed drivers.
    if name not in known and not ("." in name and node.startswith(("arm", "camera"))):
        hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
        raise HardwareError(f"'{file}': {node} has no parameter '{name}'{hint}")
    items = value if isinstance(value, list) and value else [value]
    if any(isinstance(item, (Mapping, list)) or item is None for item in items):
        raise HardwareError(
            f"'{file}': {node}: '{name}' must be a text, a number, true/false or a list of them, not "
            f"{value!r}"
        )
