"""The numbers of a ROS message by name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_MOST = 4096
_SKIPPED = ("header", "stamp")


def named(message) -> dict[str, float]:
    """A message -> its numbers: `pose.position.x`, `data`, `data[0]`; the arrays of a message with a list
    `name`
    (joint states) by these names, `position.elbow`. Headers and texts are left out.
    """
    return dict(_walk(message, ""))


def _walk(message, prefix: str) -> Iterator[tuple[str, float]]:
    joints = getattr(message, "name", None)
    for field in getattr(message, "__dataclass_fields__", ()):
        value, name = getattr(message, field), f"{prefix}{field}"
        if field in _SKIPPED or field.startswith("__"):
            continue
        if isinstance(value, (bool, int, float, np.number, np.bool_)):
            yield name, float(value)
        elif isinstance(value, np.ndarray):
            if value.size <= _MOST and value.dtype.kind in "fiub":
                yield from _items(value.ravel().tolist(), name, joints)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value[:_MOST]):
                if hasattr(item, "__dataclass_fields__"):
                    yield from _walk(item, f"{name}[{index}].")
        elif hasattr(value, "__dataclass_fields__"):
            yield from _walk(value, f"{name}.")


def _items(values: list, name: str, joints) -> Iterator[tuple[str, float]]:
    by_name = (
        isinstance(joints, list) and len(joints) == len(values) and all(isinstance(j, str) for j in joints)
    )
    for index, value in enumerate(values):
        yield (f"{name}.{joints[index]}" if by_name else f"{name}[{index}]"), float(value)
