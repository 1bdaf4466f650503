"""Forward kinematics of a chain of a URDF file: joint positions -> the pose of a link in another link's
frame.

Metres and radians, as in URDF. Joints may be revolute, continuous, prismatic or fixed.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

_MOVING = ("revolute", "continuous", "prismatic")


class UrdfError(ValueError):
    """A URDF file that cannot be used; the message names the file and the defect."""


@dataclass(frozen=True)
class UrdfJoint:
    """xyz (m), rpy (rad, fixed axes): parent link -> joint. axis: unit vector in the joint's frame."""

    name: str
    kind: str
    xyz: tuple[float, float, float]
    rpy: tuple[float, float, float]
    axis: tuple[float, float, float]


@dataclass(frozen=True)
class UrdfChain:
    """The joints from link `base` to link `tip`."""

    base: str
    tip: str
    joints: tuple[UrdfJoint, ...]

    @property
    def moving(self) -> list[str]:
        """Names of the joints that have a position, from base to tip."""
        return [joint.name for joint in self.joints if joint.kind in _MOVING]

    def forward(self, positions: np.ndarray) -> tuple[np.ndarray, Rotation]:
        """Joint positions f64[T, n] (rad; m for prismatic) -> the tip's position f64[T, 3] m and T
        rotations.
        """
        positions = np.asarray(positions, np.float64)
        length, columns = len(positions), iter(positions.T)
        place, turn = np.zeros((length, 3)), Rotation.from_quat(np.tile([0.0, 0.0, 0.0, 1.0], (length, 1)))
        for joint in self.joints:
            place = place + turn.apply(joint.xyz)
            turn = turn * Rotation.from_euler("xyz", joint.rpy)
            if joint.kind not in _MOVING:
                continue
            along = next(columns)[:, None] * np.array(joint.axis)
            if joint.kind == "prismatic":
                place = place + turn.apply(along)
            else:
                turn = turn * Rotation.from_rotvec(along)
        return place, turn


def load_chain(path: Path, tip: str, base: str | None = None) -> UrdfChain:
    """The chain from `base` (default: the root link) to `tip`. Raises UrdfError."""
    links, by_child = _read(path)
    for link in (tip, base):
        if link is not None and link not in links:
            raise UrdfError(f"{path}: there is no link '{link}'; it has {', '.join(sorted(links))}")
    joints, link = [], tip
    while link != base and link in by_child:
        parent, element = by_child.pop(link)
        joints.append(_joint(element, path))
        link = parent
    if base is not None and link != base:
        raise UrdfError(f"{path}: link '{tip}' does not hang on link '{base}' but on '{link}'")
    return UrdfChain(link, tip, tuple(reversed(joints)))


def _read(path: Path) -> tuple[set[str], dict[str, tuple[str, ET.Element]]]:
    """Names of the links; child link -> (parent link, joint)."""
    try:
        text = path.read_bytes()
        if b"<!ENTITY" in text:
            raise UrdfError(f"{path}: declares XML entities, which a URDF does not need: refused")
        root = ET.fromstring(text)
    except OSError as error:
        raise UrdfError(f"{path} cannot be read: {error.strerror}") from error
    except (ET.ParseError, ValueError, LookupError) as error:
        if isinstance(error, UrdfError):
            raise
        raise UrdfError(
            f"{path} is not XML ({error}): a .xacro file must be expanded first, `xacro arm.xacro > arm.urdf`"
        ) from error
    if root.tag != "robot":
        raise UrdfError(f"{path}: its root element is <{root.tag}>, a URDF has <robot>")
    links = {str(link.get("name")) for link in root.iter("link")}
    by_child = {}
    for joint in root.findall("joint"):
        parent, child = joint.find("parent"), joint.find("child")
        if parent is None or child is None:
            raise UrdfError(f"{path}: joint '{joint.get('name')}' has no parent or no child link")
        by_child[str(child.get("link"))] = (str(parent.get("link")), joint)
    return links, by_child


def _joint(element: ET.Element, path: Path) -> UrdfJoint:
    name, kind, origin = str(element.get("name")), str(element.get("type")), element.find("origin")
    where = f"{path}: joint '{name}'"
    if kind not in (*_MOVING, "fixed"):
        raise UrdfError(f"{where} is of type {kind!r}, expected one of {', '.join((*_MOVING, 'fixed'))}")
    if element.find("mimic") is not None:
        raise UrdfError(f"{where} mimics another joint: choose a tip link before it")
    xyz = _numbers(origin, "xyz", (0, 0, 0), where)
    rpy = _numbers(origin, "rpy", (0, 0, 0), where)
    axis = np.array(_numbers(element.find("axis"), "xyz", (1, 0, 0), where))
    length = float(np.linalg.norm(axis))
    if kind in _MOVING and length < 1e-6:
        raise UrdfError(f"{where} has an axis of length 0")
    axis = axis / length if kind in _MOVING else np.zeros(3)
    return UrdfJoint(name, kind, xyz, rpy, tuple(axis.tolist()))


def _numbers(element: ET.Element | None, key: str, usual: Sequence[float], where: str) -> tuple[float, ...]:
    text = None if element is None else element.get(key)
    if text is None:
        return tuple(map(float, usual))
    try:
        values = tuple(float(word) for word in text.split())
    except ValueError:
        values = ()
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise UrdfError(f'{where}: {element.tag} {key}="{text}", expected three numbers')
    return values
