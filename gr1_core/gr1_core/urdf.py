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
    """xyz (m), rpy (rad, fixed axes): parent link -> joint. axis: unit vector in the joint's frame.

    child: the link behind the joint. limits: lowest and highest position (rad, m); None: continuous, or not
    given. velocity: the largest one (rad/s, or m/s); infinite where it is not given, or 0.
    """

    name: str
    kind: str
    xyz: tuple[float, float, float]
    rpy: tuple[float, float, float]
    axis: tuple[float, float, float]
    child: str = ""
    limits: tuple[float, float] | None = None
    velocity: float = math.inf


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
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UrdfError(f"{path} cannot be read: {error.strerror}") from error
    return parse_chain(text, tip, base, str(path))


def parse_chain(text: bytes | str, tip: str, base: str | None = None, path: str = "URDF") -> UrdfChain:
    """As `load_chain`, from a URDF's text. path: names it in messages. Raises UrdfError."""
    links, by_child = _read(parse_xml(text, path), path)
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


def parse_xml(text: bytes | str, path: str) -> ET.Element:
    """A URDF's text -> its root element. Raises UrdfError."""
    text = text.encode() if isinstance(text, str) else text
    if b"<!ENTITY" in text:
        raise UrdfError(f"{path}: declares XML entities, which a URDF does not need: refused")
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise UrdfError(
            f"{path} is not XML ({error}): a .xacro file must be expanded first, `xacro arm.xacro > arm.urdf`"
        ) from error
    if root.tag != "robot":
        raise UrdfError(f"{path}: its root element is <{root.tag}>, a URDF has <robot>")
    return root


def _read(root: ET.Element, path: str) -> tuple[set[str], dict[str, tuple[str, ET.Element]]]:
    """Names of the links; child link -> (parent link, joint)."""
    links = {str(link.get("name")) for link in root.iter("link")}
    by_child = {}
    for joint in root.findall("joint"):
        parent, child = joint.find("parent"), joint.find("child")
        if parent is None or child is None:
            raise UrdfError(f"{path}: joint '{joint.get('name')}' has no parent or no child link")
        by_child[str(child.get("link"))] = (str(parent.get("link")), joint)
    return links, by_child


def children_of(root: ET.Element, path: str = "URDF") -> dict[str, list[UrdfJoint]]:
    """Link -> the joints that hang on it, those that mimic another one too. Raises UrdfError."""
    children: dict[str, list[UrdfJoint]] = {}
    for element in root.findall("joint"):
        if (parent := element.find("parent")) is not None and element.find("child") is not None:
            joint = _joint(element, path, mimics=True)
            children.setdefault(str(parent.get("link")), []).append(joint)
    return children


def _joint(element: ET.Element, path: str, mimics: bool = False) -> UrdfJoint:
    """mimics: a joint that follows another one is taken too."""
    name, kind, origin = str(element.get("name")), str(element.get("type")), element.find("origin")
    where = f"{path}: joint '{name}'"
    if kind not in (*_MOVING, "fixed") and not mimics:
        raise UrdfError(f"{where} is of type {kind!r}, expected one of {', '.join((*_MOVING, 'fixed'))}")
    if element.find("mimic") is not None and not mimics:
        raise UrdfError(f"{where} mimics another joint: choose a tip link before it")
    xyz = _numbers(origin, "xyz", (0, 0, 0), where)
    rpy = _numbers(origin, "rpy", (0, 0, 0), where)
    axis = np.array(_numbers(element.find("axis"), "xyz", (1, 0, 0), where))
    length = float(np.linalg.norm(axis))
    if kind in _MOVING and length < 1e-6:
        raise UrdfError(f"{where} has an axis of length 0")
    axis = axis / length if kind in _MOVING else np.zeros(3)
    limit = element.find("limit")
    low, high, velocity = (
        _number(limit, key, usual, where)
        for key, usual in (("lower", 0.0), ("upper", 0.0), ("velocity", math.inf))
    )
    limits = (low, high) if kind in ("revolute", "prismatic") and low < high else None
    child = str(element.find("child").get("link"))
    return UrdfJoint(name, kind, xyz, rpy, tuple(axis.tolist()), child, limits, velocity or math.inf)


def _number(element: ET.Element | None, key: str, usual: float, where: str) -> float:
    text = None if element is None else element.get(key)
    if text is None:
        return usual
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UrdfError(f'{where}: {element.tag} {key}="{text}", expected a number')
    return value


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
