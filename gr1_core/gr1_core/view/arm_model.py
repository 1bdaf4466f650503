"""A URDF as a tree of links with their shapes, and the pose of each link on its parent for given joints.

Rerun's own reader of URDF reads files only. Here the joints turn as in `gr1_core.urdf`, which the gate uses,
so the model shows the gate's kinematics.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import GEN2_CAPSULES, GEN3_CAPSULES, gen2, gen3
from gr1_core.urdf import UrdfError, UrdfJoint, children_of, parse_xml
from gr1_core.urdf_writer import BASE, TOOL, write_urdf

GREY = (190, 190, 198)
_SHAPES = ("box", "cylinder", "sphere", "mesh")
_BUILT_IN = {"kinova_gen2": (gen2, GEN2_CAPSULES), "kinova_gen3": (gen3, GEN3_CAPSULES)}


@dataclass(frozen=True)
class Shape:
    """kind: box, cylinder, sphere or mesh. size: box: edges; cylinder: radius, length; sphere: radius; mesh:
    scale. All lengths in m. xyz, quaternion (xyzw): on its link. colour: RGB. file: of a mesh.
    """

    kind: str
    size: tuple[float, ...]
    xyz: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]
    colour: tuple[int, int, int]
    file: Path | None = None


@dataclass(frozen=True)
class Link:
    """path: names of the links from the root to this one. joint: what it hangs on; None for the root."""

    name: str
    path: tuple[str, ...]
    joint: UrdfJoint | None
    shapes: tuple[Shape, ...]


class ArmModel:
    """The links of a URDF, root first. Raises UrdfError.

    missing: meshes that are not on this computer, as the URDF names them.
    """

    def __init__(self, text: str, where: str = "URDF", folder: Path | None = None):
        """folder: of the file, for meshes with relative paths."""
        root = parse_xml(text, where)
        elements = {str(link.get("name")): link for link in root.findall("link")}
        children, self._mimic = children_of(root, where), dict(_mimics(root))
        hanging = {joint.child for joints in children.values() for joint in joints}
        roots = [name for name in elements if name not in hanging]
        if len(roots) != 1:
            raise UrdfError(f"{where}: has {len(roots)} root links ({', '.join(roots)}), a robot has one")
        colours = {str(one.get("name")): _rgb(one) for one in root.findall("material")}
        self.missing: list[str] = []
        self.links: list[Link] = []
        waiting: list[tuple[str, tuple[str, ...], UrdfJoint | None]] = [(roots[0], (), None)]
        while waiting:
            name, above, joint = waiting.pop()
            shapes = tuple(self._shapes(elements.get(name), colours, folder, where))
            self.links.append(Link(name, (*above, name), joint, shapes))
            waiting += [(one.child, (*above, name), one) for one in reversed(children.get(name, ()))]

    @property
    def root(self) -> str:
        return self.links[0].name

    def root_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """The root in the frame of the arm's poses: xyz f64[3] m, quaternion f64[4] xyzw.

        That frame is link base_link where it is fixed to the root, as behind a link `world`; else the root.
        """
        by_name = {link.name: link for link in self.links}
        above = [by_name[name] for name in by_name[BASE].path] if BASE in by_name else []
        if any(link.joint and link.joint.kind != "fixed" for link in above):
            above = []
        place, turn = self.forward(BASE, {}) if above else (np.zeros(3), Rotation.identity())
        return -turn.inv().apply(place), turn.inv().as_quat()

    @property
    def moving(self) -> list[Link]:
        """The links whose joints move."""
        return [link for link in self.links if link.joint and link.joint.kind != "fixed"]

    def pose(self, link: Link, positions: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray] | None:
        """The link on its parent: xyz f64[3] m, quaternion f64[4] xyzw; None where its joint's position is
        not among `positions` (joint -> rad or m).
        """
        if link.joint is None:
            return np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
        joint = link.joint
        leader, factor, offset = self._mimic.get(joint.name, (joint.name, 1.0, 0.0))
        fixed = joint.kind == "fixed"
        if not fixed and leader not in positions:
            return None
        turn = Rotation.from_euler("xyz", joint.rpy)
        along = (0.0 if fixed else factor * positions[leader] + offset) * np.array(joint.axis)
        if joint.kind == "prismatic":
            return np.array(joint.xyz) + turn.apply(along), turn.as_quat()
        return np.array(joint.xyz), (turn * Rotation.from_rotvec(along)).as_quat()

    def forward(self, name: str, positions: Mapping[str, float]) -> tuple[np.ndarray, Rotation]:
        """The link in the root's frame; joints without a position are at 0. Raises KeyError for no link."""
        by_name = {link.name: link for link in self.links}
        place, turn = np.zeros(3), Rotation.identity()
        for above in by_name[name].path:
            xyz, quaternion = self.pose(by_name[above], _Zeros(positions))
            place, turn = place + turn.apply(xyz), turn * Rotation.from_quat(quaternion)
        return place, turn

    def _shapes(self, link: ET.Element | None, colours, folder, where: str) -> Iterator[Shape]:
        """The visual shapes; the collision shapes of a link that shows none."""
        visuals = [] if link is None else link.findall("visual") or link.findall("collision")
        for visual in visuals:
            for element in visual.iterfind("geometry/*"):
                if element.tag in _SHAPES and (made := self._shape(visual, element, colours, folder, where)):
                    yield made

    def _shape(self, visual, element, colours, folder, where: str) -> Shape | None:
        origin, material, file = visual.find("origin"), visual.find("material"), None
        xyz = _floats(origin, "xyz", (0.0, 0.0, 0.0), where)
        turn = Rotation.from_euler("xyz", _floats(origin, "rpy", (0.0, 0.0, 0.0), where))
        colour = GREY
        if material is not None:
            colour = _rgb(material) or colours.get(str(material.get("name"))) or GREY
        if element.tag == "box":
            size = _floats(element, "size", (0.0, 0.0, 0.0), where)
        elif element.tag == "mesh":
            size = _floats(element, "scale", (1.0, 1.0, 1.0), where)
            file = _mesh_file(str(element.get("filename")), folder)
            if file is None:
                self.missing.append(str(element.get("filename")))
                return None
        else:
            keys = ("radius", "length") if element.tag == "cylinder" else ("radius",)
            size = tuple(_floats(element, key, (0.0,), where)[0] for key in keys)
        return Shape(element.tag, size, xyz, tuple(turn.as_quat().tolist()), colour, file)


def built_in_urdf(rig: str) -> str:
    """The URDF of the arm of a rig of this name: "kinova_gen2_small" has a Gen2; "" for other rigs."""
    for name, (make, parts) in _BUILT_IN.items():
        if rig == name or rig.startswith(f"{name}_"):
            joints = tuple(f"joint_{number}" for number in range(1, 8))
            return write_urdf(name, joints, make(), parts)
    return ""


def hand_of(model: ArmModel) -> list[tuple[Shape, np.ndarray, Rotation]]:
    """The shapes that are fixed to the tool, each with its place in the tool's frame: (xyz f64[3] m,
    rotation).

    For data that hold the tool's pose and no joints.
    """
    by_name = {link.name: link for link in model.links}
    if TOOL not in by_name:
        return []
    place, turn = np.zeros(3), Rotation.identity()
    path = list(by_name[TOOL].path)
    while path[-1] != BASE and (link := by_name[path[-1]]).joint and link.joint.kind == "fixed":
        xyz, quaternion = model.pose(link, {})
        place, turn = xyz + Rotation.from_quat(quaternion).apply(place), Rotation.from_quat(quaternion) * turn
        path.pop()
    back = turn.inv()
    return [
        (shape, back.apply(np.array(shape.xyz) - place), back * Rotation.from_quat(shape.quaternion))
        for shape in by_name[path[-1]].shapes
    ]


class _Zeros(dict):
    """Joint positions; those that are not known are 0."""

    def __missing__(self, name: str) -> float:
        return 0.0

    def __contains__(self, name: object) -> bool:
        return True


def _mimics(root: ET.Element) -> Iterator[tuple[str, tuple[str, float, float]]]:
    for joint in root.findall("joint"):
        if (mimic := joint.find("mimic")) is not None:
            factor = _floats(mimic, "multiplier", (1.0,), "URDF")[0]
            offset = _floats(mimic, "offset", (0.0,), "URDF")[0]
            yield str(joint.get("name")), (str(mimic.get("joint")), factor, offset)


def _mesh_file(name: str, folder: Path | None) -> Path | None:
    """The file of a mesh on this computer: package://PACKAGE/..., file://..., or a path beside the URDF."""
    if name.startswith("package://"):
        package, _, rest = name.removeprefix("package://").partition("/")
        prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
        found = [Path(prefix, "share", package, rest) for prefix in prefixes if prefix]
    else:
        path = Path(name.removeprefix("file://"))
        found = [path if path.is_absolute() or folder is None else folder / path]
    return next((path for path in found if path.is_file()), None)


def _rgb(material: ET.Element) -> tuple[int, int, int] | None:
    colour = material.find("color")
    if colour is None:
        return None
    values = _floats(colour, "rgba", (0.75, 0.75, 0.78, 1.0), "URDF")
    return tuple(round(255 * min(max(value, 0.0), 1.0)) for value in values[:3])


def _floats(element: ET.Element | None, key: str, usual: tuple[float, ...], where: str) -> tuple[float, ...]:
    text = None if element is None else element.get(key)
    if text is None:
        return usual
    try:
        values = tuple(map(float, text.split()))
    except ValueError:
        values = ()
    if len(values) != len(usual) or not np.isfinite(values).all():
        raise UrdfError(f'{where}: {element.tag} {key}="{text}", expected {len(usual)} numbers')
    return values
