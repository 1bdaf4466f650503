"""Kinematics of serial arms from their vendors' published tables: metres, radians, the arm's base frame.

Each joint rotates about its own z axis.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PI, HALF = math.pi, math.pi / 2


class Joint(NamedTuple):
    """Parent -> joint: xyz in m, rpy as in URDF (fixed axes) in rad.

    limits: lowest and highest angle in degrees; None: unlimited.
    """

    xyz: tuple[float, float, float]
    rpy: tuple[float, float, float]
    limits: tuple[float, float] | None


class BodyPoint(NamedTuple):
    """A sphere of an arm's body: around xyz (m) in the frame of joint number `joint`, counted from 1."""

    name: str
    joint: int
    xyz: tuple[float, float, float]
    radius: float


class Chain:
    """An arm as a chain of joints with the tool's frame at its end (xyz, rpy in the last joint's frame)."""

    def __init__(
        self, joints: Sequence[Joint], xyz: tuple[float, float, float], rpy: tuple[float, float, float]
    ):
        self._fixed = [(_matrix(joint.rpy), np.array(joint.xyz, np.float64)) for joint in joints]
        self._turns = np.array([turn for turn, _ in self._fixed])
        self._shifts = np.array([shift for _, shift in self._fixed])
        self._tool = _matrix(rpy), np.array(xyz, np.float64)
        ends = [joint.limits or (-math.inf, math.inf) for joint in joints]
        self.limits = np.radians(np.array(ends))
        """f64[n, 2] rad, infinite for unlimited joints."""

    def forward(self, angles) -> tuple[np.ndarray, np.ndarray]:
        """Joint angles f64[n] rad -> the tool's position f64[3] m and quaternion f64[4] xyzw."""
        *_, position, rotation = self._walk(angles)
        from scipy.spatial.transform import Rotation

        return position, Rotation.from_matrix(rotation).as_quat()

    def jacobian(self, angles) -> np.ndarray:
        """f64[6, n]: the tool's velocity (m/s, then rad/s) for one rad/s of each joint."""
        origins, axes, tip, _ = self._walk(angles)
        return np.vstack([np.cross(axes, tip - origins).T, axes.T])

    def heights(self, angles, body: Sequence[BodyPoint]) -> tuple[np.ndarray, np.ndarray]:
        """The lowest z of each sphere, f64[m] m, and its change for one rad/s of each joint, f64[m, n]."""
        joints, xyz, radii = _arrays(tuple(body))
        turns = self._turns @ _about_z(np.asarray(angles, np.float64))
        origins, rotations = np.empty((len(turns), 3)), np.empty((len(turns), 3, 3))
        position, rotation = np.zeros(3), np.eye(3)
        for number, shift in enumerate(self._shifts):
            origins[number] = position = position + rotation @ shift
            rotations[number] = rotation = rotation @ turns[number]
        centres = origins[joints] + np.einsum("mij,mj->mi", rotations[joints], xyz)
        arms = centres[:, None, :2] - origins[None, :, :2]
        # z of axis x arm; a joint behind the point does not move it.
        change = rotations[:, 0, 2] * arms[:, :, 1] - rotations[:, 1, 2] * arms[:, :, 0]
        change *= np.arange(len(turns)) <= joints[:, None]
        return centres[:, 2] - radii, change

    def _walk(self, angles):
        """Each joint's origin and axis f64[n, 3], the tool's position f64[3] and rotation f64[3, 3]."""
        position, rotation, origins, axes = np.zeros(3), np.eye(3), [], []
        for (turn, shift), angle in zip(self._fixed, angles, strict=True):
            position, rotation = position + rotation @ shift, rotation @ turn
            origins.append(position)
            axes.append(rotation[:, 2])
            cosine, sine = math.cos(angle), math.sin(angle)
            rotation = rotation @ np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        turn, shift = self._tool
        return np.array(origins), np.array(axes), position + rotation @ shift, rotation @ turn


def _about_z(angles: np.ndarray) -> np.ndarray:
    """f64[n] rad -> f64[n, 3, 3]."""
    cosine, sine = np.cos(angles), np.sin(angles)
    turns = np.zeros((len(angles), 3, 3))
    turns[:, 0, 0], turns[:, 0, 1], turns[:, 1, 0], turns[:, 1, 1] = cosine, -sine, sine, cosine
    turns[:, 2, 2] = 1.0
    return turns


@functools.cache
def _arrays(body: tuple[BodyPoint, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index of each point's joint, its xyz, its radius."""
    return (
        np.array([point.joint - 1 for point in body]),
        np.array([point.xyz for point in body], np.float64),
        np.array([point.radius for point in body]),
    )


def __getattr__(name: str):
    """GEN2: the Gen2 with the vendor's own fingers. Made when it is first asked for: it needs scipy, the
    tables of this module do not.
    """
    if name != "GEN2":
        raise AttributeError(f"module 'gr1_core.kinematics' has no attribute '{name}'")
    globals()[name] = gen2()
    return globals()[name]


def _matrix(rpy) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", rpy).as_matrix()


GEN2_JOINTS = (
    Joint((0, 0, 0.15675), (0, PI, 0), None),
    Joint((0, 0.0016, -0.11875), (-HALF, 0, PI), (47, 313)),
    Joint((0, -0.205, 0), (-HALF, 0, 0), None),
    Joint((0, 0, -0.205), (HALF, 0, PI), (30, 330)),
    Joint((0, 0.2073, -0.0114), (-HALF, 0, PI), None),
    Joint((0, 0, -0.10375), (HALF, 0, PI), (65, 295)),
    Joint((0, 0.10375, 0), (-HALF, 0, PI), None),
)
"""Kinova Gen2 with 7 joints and a spherical wrist (j2s7s300)."""

GEN2_HAND = 0.160
"""m from joint 7 to the end effector as the vendor's controller reports and moves it."""
GEN2_GRIP = 0.182
"""m from joint 7 to the point between the fingertips."""


def gen2(grip: float = GEN2_GRIP) -> Chain:
    """The Gen2 up to the point between the fingertips, `grip` m from joint 7: z along the approach, x from
    the two fingers towards the thumb.
    """
    return Chain(GEN2_JOINTS, (0, 0, -grip), (PI, 0, HALF))


GEN2_BODY = (
    BodyPoint("elbow", 4, (0, 0, 0), 0.050),
    BodyPoint("wrist, joint 5", 5, (0, 0, 0), 0.038),
    BodyPoint("wrist, joint 6", 6, (0, 0, 0), 0.041),
    BodyPoint("wrist, joint 7", 7, (0, 0, 0), 0.041),
    BodyPoint("palm", 7, (0, 0, -0.100), 0.047),
    BodyPoint("wrist camera", 7, (-0.100, 0, -0.047), 0.050),
)
"""The Gen2 beyond its shoulder, hand without fingers, with the paper's camera: ends of its links and what
sticks out (sim/kinova.py has the shells).
"""

GEN3_JOINTS = (
    Joint((0, 0, 0.15643), (PI, 0, 0), None),
    Joint((0, 0.005375, -0.12838), (HALF, 0, 0), (-128.3, 128.3)),
    Joint((0, -0.21038, -0.006375), (-HALF, 0, 0), None),
    Joint((0, 0.006375, -0.21038), (HALF, 0, 0), (-147.2, 147.2)),
    Joint((0, -0.20843, -0.006375), (-HALF, 0, 0), None),
    Joint((0, 0.00017505, -0.10593), (HALF, 0, 0), (-119.7, 119.7)),
    Joint((0, -0.10593, -0.00017505), (-HALF, 0, 0), None),
)
"""Kinova Gen3 with 7 joints and a spherical wrist (ros2_kortex, gen3_macro.xacro); its limits in rad, rounded
inwards to 0.1 degree.
"""

GEN3_BODY = (
    BodyPoint("elbow", 4, (0, 0, 0), 0.050),
    BodyPoint("wrist, joint 5", 5, (0, 0, 0), 0.046),
    BodyPoint("wrist, joint 6", 6, (0, 0, 0), 0.046),
    BodyPoint("wrist, joint 7", 7, (0, 0, 0), 0.046),
    BodyPoint("wrist camera", 7, (0, -0.040, -0.045), 0.045),
    BodyPoint("gripper", 7, (0, 0, -0.115), 0.060),
)
"""The Gen3 beyond its shoulder, with vision module and a Robotiq 2F-85 without its fingers; sizes are
estimates.
"""

GEN3_FLANGE = 0.061525
"""m from joint 7 to the face of the interface module, the vendor's end effector."""
GEN3_GRIP = 0.150
"""m from that face to the point between the fingertips of a Robotiq 2F-85; the vendor's own tool point for it
is at 0.120.
"""


def gen3(grip: float = GEN3_GRIP) -> Chain:
    """The Gen3 up to the point between the fingertips, `grip` m from its flange: z along the approach, y
    towards the wrist's camera.
    """
    return Chain(GEN3_JOINTS, (0, 0, -GEN3_FLANGE - grip), (PI, 0, 0))
