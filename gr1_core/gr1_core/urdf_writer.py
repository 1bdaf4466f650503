"""A URDF from a chain of joints and its capsules: viewers show exactly the kinematics of the gate."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import Capsule, Chain
from gr1_core.pose import Pose

_GREY, _DARK = "0.75 0.75 0.78 1", "0.2 0.2 0.22 1"
BASE, TOOL = "base_link", "tool_center_point"


def write_urdf(
    name: str,
    joint_names: Sequence[str],
    chain: Chain,
    parts: Sequence[Capsule],
    frames: Mapping[str, tuple[str, Pose]] | None = None,
) -> str:
    """The URDF's text. Links: base_link, one behind each joint (`<joint>_link`), tool_center_point.

    frames: further links by name, each with its parent link and its pose there, such as the cameras'.
    """
    robot = ET.Element("robot", name=name)
    links = [BASE, *(f"{joint}_link" for joint in joint_names)]
    for number, link in enumerate(links):
        element = ET.SubElement(robot, "link", name=link)
        for part in parts:
            if part.joint == number:
                _add_capsule(element, part)
    for number, joint in enumerate(joint_names):
        xyz, matrix = chain.fixed[number]
        low, high = chain.limits[number]
        turning = bool(np.isfinite([low, high]).all())
        element = ET.SubElement(robot, "joint", name=joint, type="revolute" if turning else "continuous")
        _add_ends(element, links[number], links[number + 1], xyz, Rotation.from_matrix(matrix))
        ET.SubElement(element, "axis", xyz="0 0 1")
        speed = float(chain.speeds[number])
        limit = {"effort": "0", "velocity": _text([speed if math.isfinite(speed) else 0.0])}
        if turning:
            limit |= {"lower": _text([low]), "upper": _text([high])}
        ET.SubElement(element, "limit", limit)
    xyz, matrix = chain.fixed[len(joint_names)]
    _add_fixed(robot, TOOL, links[-1], xyz, Rotation.from_matrix(matrix))
    for link, (parent, pose) in (frames or {}).items():
        _add_fixed(robot, link, parent, pose.position, pose.rotation)
    ET.indent(robot)
    return '<?xml version="1.0"?>\n' + ET.tostring(robot, encoding="unicode") + "\n"


def _add_fixed(robot: ET.Element, link: str, parent: str, xyz, turn: Rotation) -> None:
    ET.SubElement(robot, "link", name=link)
    element = ET.SubElement(robot, "joint", name=f"{link}_mount", type="fixed")
    _add_ends(element, parent, link, xyz, turn)


def _add_ends(joint: ET.Element, parent: str, child: str, xyz, turn: Rotation) -> None:
    ET.SubElement(joint, "parent", link=parent)
    ET.SubElement(joint, "child", link=child)
    ET.SubElement(joint, "origin", xyz=_text(xyz), rpy=_text(turn.as_euler("xyz")))


def _add_capsule(link: ET.Element, part: Capsule) -> None:
    """A cylinder with a sphere at each end, as what is seen and as what may not touch."""
    start, end = np.array(part.start, np.float64), np.array(part.end, np.float64)
    along, shapes = end - start, []
    length = float(np.linalg.norm(along))
    for place in (start, end) if length > 1e-6 else (start,):
        shapes.append((place, np.zeros(3), ("sphere", {"radius": _text([part.radius])})))
    if length > 1e-6:
        size = {"radius": _text([part.radius]), "length": _text([length])}
        yaw = math.atan2(along[1], along[0])
        pitch = math.acos(float(np.clip(along[2] / length, -1.0, 1.0)))
        shapes.append(((start + end) / 2, np.array([0.0, pitch, yaw]), ("cylinder", size)))
    colour = _DARK if "camera" in part.name or "finger" in part.name else _GREY
    for kind in ("visual", "collision"):
        for xyz, rpy, (shape, size) in shapes:
            element = ET.SubElement(link, kind, name=part.name)
            ET.SubElement(element, "origin", xyz=_text(xyz), rpy=_text(rpy))
            ET.SubElement(ET.SubElement(element, "geometry"), shape, size)
            if kind == "visual":
                ET.SubElement(ET.SubElement(element, "material", name=colour), "color", rgba=colour)


def _text(numbers) -> str:
    return " ".join(f"{float(number):.9g}" for number in numbers)
