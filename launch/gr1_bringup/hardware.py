"""The hardware file: node parameters of one laboratory, such as serial numbers and addresses. ROS-free.

arm: {kinova_gen2.sdk: /opt/kinova}
camera_wrist: {realsense.serial: "123456789"}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gr1_core import strict_yaml

NODES = ("arm", "camera_static", "camera_wrist")
_ARGUMENTS = ("robot", "rig", "camera_driver", "role")


class HardwareError(ValueError):
    """A hardware file that cannot be used."""


def load(file: str) -> dict[str, dict[str, object]]:
    """Parameters by node. Raises HardwareError, naming the file and the entry."""
    path = Path(file)
    if not path.is_file():
        raise HardwareError(f"no file '{file}'")
    given = strict_yaml.read(path, HardwareError) or {}
    if not isinstance(given, Mapping):
        raise HardwareError(f"'{file}' must hold parameters by node ({', '.join(NODES)}), not {given!r}")
    for node, parameters in given.items():
        if node not in NODES:
            raise HardwareError(f"'{file}' has parameters for '{node}'; there are {', '.join(NODES)}")
        if not isinstance(parameters, Mapping):
            raise HardwareError(
                f"'{file}': {node} must hold parameters, such as 'realsense.serial: \"0123\"', not "
                f"{parameters!r}"
            )
        for name, value in parameters.items():
            if name in _ARGUMENTS:
                raise HardwareError(
                    f"'{file}': {node} sets '{name}', which is an argument of the stack: leave it out here"
                )
            items = value if isinstance(value, list) and value else [value]
            if any(isinstance(item, (Mapping, list)) or item is None for item in items):
                raise HardwareError(
                    f"'{file}': {node}: '{name}' must be a text, a number, true/false or a list of them, not "
                    f"{value!r}"
                )
    return {
        node: {str(name): value for name, value in parameters.items()} for node, parameters in given.items()
    }
