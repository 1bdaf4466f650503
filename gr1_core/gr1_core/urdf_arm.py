"""An arm's kinematics, limits and parts from its URDF.

The result is a `Chain`, as the arms with built-in tables have it: a Chain's joints turn about their own z
axis, so each frame of a URDF joint is turned until z lies along its axis.

Parts are capsules around the collision shapes. A link whose shapes are meshes gets one capsule from its joint
to the next one, since the meshes' files may not be here.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import Capsule, Chain, Joint
from gr1_core.urdf import UrdfChain, UrdfError, UrdfJoint, children_of, parse_chain, parse_xml

_SHORTEST = 1e-3
"""m: between two joints that are nearer there is no link to speak of."""


@dataclass(frozen=True)
class UrdfArm:
    """joint_names: as in the URDF, from base to tip. parts: capsules in the chain's joint frames.

    velocities f64[n] rad/s: the largest of each joint; infinite where none is stated.
    """

    joint_names: tuple[str, ...]
    chain: Chain
    parts: tuple[Capsule, ...]
    velocities: np.ndarray


def load_arm(
    text: str,
    base: str,
    tip: str,
    tool: Sequence[float] = (0.0, 0.0, 0.0),
    link_radius: float = 0.06,
    where: str = "URDF",
) -> UrdfArm:
    """base, tip: links; "": the root link. tool: the point between the fingertips in the tip's frame, m.

    link_radius: m, of links whose collision shape is a mesh. where: names the URDF in messages. Raises
    UrdfError.
    """
    chain = parse_chain(text, tip, base or None, where)
    names = chain.moving
    if not names:
        raise UrdfError(f"{where}: no joint moves between link '{chain.base}' and link '{tip}'")
    frames = _Frames()
    for joint in chain.joints:
        frames.add(joint, where)
    xyz, turn = frames.tail
    turn = Rotation.from_matrix(turn)
    made = Chain(
        frames.joints, tuple(xyz + turn.apply(np.asarray(tool, np.float64))), tuple(turn.as_euler("xyz"))
    )
    velocities = np.array([joint.velocity for joint in chain.joints if joint.name in set(names)])
    root = parse_xml(text, where)
    parts = tuple(_parts(root, chain, frames, made, link_radius, where))
    return UrdfArm(tuple(names), made, parts, velocities)


class _Frames:
    """Collects a chain's joints. tail: link after the last joint in the last joint's frame, (xyz, matrix)."""

    def __init__(self):
        self.joints: list[Joint] = []
        self.tail = np.zeros(3), np.eye(3)
        self.links: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}
        """Link -> (number of its joint, xyz and matrix in that joint's frame)."""

    def add(self, joint: UrdfJoint, where: str) -> None:
        xyz, matrix = self.tail
        xyz = xyz + matrix @ np.array(joint.xyz)
        matrix = matrix @ Rotation.from_euler("xyz", joint.rpy).as_matrix()
        if joint.kind == "prismatic":
            raise UrdfError(
                f"{where}: joint '{joint.name}' is prismatic: an arm's joints must turn. Is it one of the "
                "gripper's? Then choose a tip link before it"
            )
        if joint.kind != "fixed":
            align = _to_axis(np.array(joint.axis))
            limits = tuple(np.degrees(joint.limits).tolist()) if joint.limits else None
            euler = Rotation.from_matrix(matrix @ align).as_euler("xyz")
            speed = math.degrees(joint.velocity)
            self.joints.append(Joint(tuple(xyz), tuple(euler), limits, speed))
            xyz, matrix = np.zeros(3), align.T
        self.tail = xyz, matrix
        self.links[joint.child] = len(self.joints), xyz, matrix


def _to_axis(axis: np.ndarray) -> np.ndarray:
    """A rotation matrix that turns z onto a unit vector."""
    z = np.array([0.0, 0.0, 1.0])
    if np.allclose(axis, z):
        return np.eye(3)
    if np.allclose(axis, -z):
        return np.diag([1.0, -1.0, -1.0])
    cross = np.cross(z, axis)
    angle = math.atan2(np.linalg.norm(cross), axis[2])
    return Rotation.from_rotvec(cross / np.linalg.norm(cross) * angle).as_matrix()


def _parts(
    root: ET.Element, chain: UrdfChain, frames: _Frames, made: Chain, link_radius: float, where: str
) -> Iterator[Capsule]:
    links = {str(link.get("name")): link for link in root.findall("link")}
    placed = {chain.base: (0, np.zeros(3), np.eye(3))} | frames.links
    bare = set(range(len(frames.joints) + 1))  # joints whose links have shown no shape of their own
    for name, (joint, xyz, matrix) in _with_attached(root, placed, where):
        for number, (element, shape) in enumerate(_shapes(links.get(name))):
            capsule = _capsule(element, shape, f"{where}: link '{name}'")
            if capsule is None:
                continue
            start, end, radius = capsule
            bare.discard(joint)
            label = name if not number else f"{name} {number + 1}"
            yield Capsule(label, joint, tuple(xyz + matrix @ start), tuple(xyz + matrix @ end), radius)
    ends = [joint.xyz for joint in frames.joints[1:]] + [made.tool]
    for number in sorted(bare - {0}):
        end = np.array(ends[number - 1])
        if np.linalg.norm(end) > _SHORTEST:
            name = chain.moving[number - 1]
            yield Capsule(f"link behind {name}", number, (0.0, 0.0, 0.0), tuple(end), link_radius)


def _with_attached(root: ET.Element, placed: dict, where: str) -> Iterator[tuple[str, tuple]]:
    """The chain's links, and what hangs on them beside the chain (fingers, cameras), its joints at zero."""
    waiting, seen = list(placed.items()), set(placed)
    children = children_of(root, where)
    while waiting:
        name, (number, xyz, matrix) = waiting.pop()
        yield name, (number, xyz, matrix)
        for joint in children.get(name, ()):
            if joint.child not in seen:
                seen.add(joint.child)
                turn = Rotation.from_euler("xyz", joint.rpy).as_matrix()
                waiting.append((joint.child, (number, xyz + matrix @ np.array(joint.xyz), matrix @ turn)))


def _shapes(link: ET.Element | None) -> Iterator[tuple[ET.Element, ET.Element]]:
    """(collision element, shape) of a link, meshes left out."""
    for collision in () if link is None else link.findall("collision"):
        for shape in collision.iterfind("geometry/*"):
            if shape.tag in ("box", "cylinder", "sphere", "capsule"):
                yield collision, shape


def _capsule(
    collision: ET.Element, shape: ET.Element, where: str
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """(start f64[3], end f64[3], radius) that encloses a shape, in the link's frame."""
    origin = collision.find("origin")
    xyz = np.array(_floats(origin, "xyz", 3, where) or (0, 0, 0), np.float64)
    turn = Rotation.from_euler("xyz", _floats(origin, "rpy", 3, where) or (0, 0, 0))
    if shape.tag == "box":
        size = np.array(_floats(shape, "size", 3, where) or (0, 0, 0))
        longest = int(size.argmax())
        half = np.eye(3)[longest] * size[longest] / 2
        radius = float(np.linalg.norm(np.delete(size, longest))) / 2
    else:
        [radius] = _floats(shape, "radius", 1, where) or (0.0,)
        [length] = _floats(shape, "length", 1, where) or (0.0,)
        half = np.array([0.0, 0.0, length / 2])
    if radius <= 0:
        return None
    half = turn.apply(half)
    return xyz - half, xyz + half, radius


def _floats(element: ET.Element | None, key: str, count: int, where: str) -> tuple[float, ...] | None:
    text = None if element is None else element.get(key)
    if text is None:
        return None
    try:
        values = tuple(float(word) for word in text.split())
    except ValueError:
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        raise UrdfError(f'{where}: {element.tag} {key}="{text}", expected {count} numbers')
    return values
