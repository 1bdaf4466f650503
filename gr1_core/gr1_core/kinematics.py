"""Kinematics of serial arms from their vendors' published tables: metres, radians, the arm's base frame.

Each joint rotates about its own z axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PI, HALF = math.pi, math.pi / 2


class Joint(NamedTuple):
    """Parent -> joint: xyz in m, rpy as in URDF (fixed axes) in rad.

    limits: lowest and highest angle in degrees; None: unlimited. speed: the vendor's limit, degrees/s.
    """

    xyz: tuple[float, float, float]
    rpy: tuple[float, float, float]
    limits: tuple[float, float] | None
    speed: float = math.inf


class Capsule(NamedTuple):
    """A part of an arm: all points within `radius` (m) of the segment from `start` to `end` (m), in the frame
    of joint number `joint`, counted from 1; 0: fixed to the base.
    """

    name: str
    joint: int
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float


class Chain:
    """An arm as a chain of joints with the tool's frame at its end (xyz, rpy in the last joint's frame)."""

    def __init__(
        self, joints: Sequence[Joint], xyz: tuple[float, float, float], rpy: tuple[float, float, float]
    ):
        self._fixed = [(_matrix(joint.rpy), np.array(joint.xyz, np.float64)) for joint in joints]
        self._turns = np.array([turn for turn, _ in self._fixed])
        self._tool = _matrix(rpy), np.array(xyz, np.float64)
        ends = [joint.limits or (-math.inf, math.inf) for joint in joints]
        self.limits = np.radians(np.array(ends))
        """f64[n, 2] rad, infinite for unlimited joints."""
        self.speeds = np.radians(np.array([joint.speed for joint in joints]))
        """f64[n] rad/s, the vendor's limits; infinite where none is stated."""
        self.tool = self._tool[1]
        """f64[3] m: the tool in the last joint's frame."""

    @property
    def fixed(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(xyz f64[3] m, rotation f64[3, 3]) from each joint's frame, turned by its angle, to the next one's;
        the first is from the base, the last to the tool.
        """
        return [(shift, turn) for turn, shift in (*self._fixed, self._tool)]

    def forward(self, angles) -> tuple[np.ndarray, np.ndarray]:
        """Joint angles f64[n] rad -> the tool's position f64[3] m and quaternion f64[4] xyzw."""
        *_, position, rotation = self._walk(angles)
        from scipy.spatial.transform import Rotation

        return position, Rotation.from_matrix(rotation).as_quat()

    def jacobian(self, angles) -> np.ndarray:
        """f64[6, n]: the tool's velocity (m/s, then rad/s) for one rad/s of each joint."""
        origins, axes, tip, _ = self._walk(angles)
        return np.vstack([np.cross(axes, tip - origins).T, axes.T])

    def frames(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Joint angles f64[k, n] rad of k postures -> each joint's origin f64[k, n + 1, 3] m and rotation
        f64[k, n + 1, 3, 3]; number 0 is the base.
        """
        turns = self._turns @ _about_z(angles)
        origins, rotations = (
            np.zeros((len(turns), turns.shape[1] + 1, 3)),
            np.empty((len(turns), turns.shape[1] + 1, 3, 3)),
        )
        rotations[:, 0] = np.eye(3)
        for number, (_, shift) in enumerate(self._fixed):
            origins[:, number + 1] = origins[:, number] + rotations[:, number] @ shift
            np.matmul(rotations[:, number], turns[:, number], out=rotations[:, number + 1])
        return origins, rotations

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
    """f64[..., n] rad -> f64[..., n, 3, 3]."""
    cosine, sine = np.cos(angles), np.sin(angles)
    turns = np.zeros((*angles.shape, 3, 3))
    turns[..., 0, 0], turns[..., 0, 1], turns[..., 1, 0], turns[..., 1, 1] = cosine, -sine, sine, cosine
    turns[..., 2, 2] = 1.0
    return turns


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
    Joint((0, 0, 0.15675), (0, PI, 0), None, 36),
    Joint((0, 0.0016, -0.11875), (-HALF, 0, PI), (47, 313), 36),
    Joint((0, -0.205, 0), (-HALF, 0, 0), None, 36),
    Joint((0, 0, -0.205), (HALF, 0, PI), (30, 330), 36),
    Joint((0, 0.2073, -0.0114), (-HALF, 0, PI), None, 48),
    Joint((0, 0, -0.10375), (HALF, 0, PI), (65, 295), 48),
    Joint((0, 0.10375, 0), (-HALF, 0, PI), None, 48),
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


def _gen2_finger(name: str, knuckle, opened, half) -> tuple[Capsule, Capsule]:
    """The capsules that hold an open and a half-closed finger; closed fingers are in one of their own."""
    return Capsule(name, 7, knuckle, opened, 0.015), Capsule(name, 7, knuckle, half, 0.0095)


GEN2_CAPSULES = (
    Capsule("base", 0, (0, 0, 0.030), (0, 0, 0.120), 0.050),
    Capsule("shoulder", 1, (0, 0, -0.025), (0, 0, -0.110), 0.047),
    Capsule("upper arm", 2, (0, 0, -0.012), (0, 0, 0.012), 0.048),
    Capsule("upper arm", 2, (0, 0, 0), (0, -0.205, 0), 0.046),
    Capsule("upper arm", 3, (0, 0, 0), (0, 0, -0.205), 0.046),
    Capsule("elbow", 4, (0, 0, -0.012), (0, 0, 0.012), 0.048),
    Capsule("forearm", 4, (0, 0, -0.0057), (0, 0.2073, -0.0114), 0.041),
    Capsule("wrist, joint 5", 5, (0, 0, 0), (0, 0, -0.10375), 0.038),
    Capsule("wrist, joint 6", 6, (0, 0, -0.008), (0, 0, 0.008), 0.041),
    Capsule("wrist, joint 6", 6, (0, 0, 0), (0, 0.10375, 0), 0.041),
    Capsule("palm", 7, (0, 0, -0.040), (0, 0, -0.088), 0.047),
    Capsule("wrist camera", 7, (-0.106, -0.034, -0.035), (-0.106, 0.034, -0.035), 0.021),
    Capsule("wrist camera", 7, (-0.093, 0, -0.021), (-0.075, 0, -0.012), 0.017),
    Capsule("fingers", 7, (0, 0, -0.140), (0, 0, -0.170), 0.033),
    *_gen2_finger("thumb", (0.003, 0.032, -0.119), (0.0114, 0.0716, -0.1850), (0.0047, 0.0401, -0.1975)),
    *_gen2_finger("index", (0.023, -0.0285, -0.119), (0.0298, -0.0677, -0.1850), (0.0239, -0.0360, -0.1975)),
    *_gen2_finger(
        "middle", (-0.023, -0.0285, -0.119), (-0.0298, -0.0677, -0.1850), (-0.0239, -0.0360, -0.1975)
    ),
)
"""The Gen2 with the paper's wrist camera, as large as its shells (sim/kinova.py); its fingers from open to
closed.
"""

GEN3_JOINTS = (
    Joint((0, 0, 0.15643), (PI, 0, 0), None, 80),
    Joint((0, 0.005375, -0.12838), (HALF, 0, 0), (-128.3, 128.3), 80),
    Joint((0, -0.21038, -0.006375), (-HALF, 0, 0), None, 80),
    Joint((0, 0.006375, -0.21038), (HALF, 0, 0), (-147.2, 147.2), 80),
    Joint((0, -0.20843, -0.006375), (-HALF, 0, 0), None, 70),
    Joint((0, 0.00017505, -0.10593), (HALF, 0, 0), (-119.7, 119.7), 70),
    Joint((0, -0.10593, -0.00017505), (-HALF, 0, 0), None, 70),
)
"""Kinova Gen3 with 7 joints and a spherical wrist (ros2_kortex, gen3_macro.xacro); its limits in rad, rounded
inwards to 0.1 degree; its speeds since firmware 2.2 (Kinova-kortex2_Gen3_G3L #14).
"""

GEN3_CAPSULES = (
    Capsule("base", 0, (0, 0, 0.030), (0, 0, 0.120), 0.050),
    Capsule("shoulder", 1, (0, 0, -0.020), (0, 0, -0.118), 0.047),
    Capsule("upper arm", 2, (0, 0, 0), (0, -0.21038, 0), 0.047),
    Capsule("upper arm", 3, (0, 0, 0), (0, 0, -0.21038), 0.047),
    Capsule("elbow", 4, (0, 0, -0.010), (0, 0, 0.010), 0.048),
    Capsule("forearm", 4, (0, 0, 0), (0, -0.20843, 0), 0.046),
    Capsule("wrist, joint 5", 5, (0, 0, 0), (0, 0, -0.10593), 0.046),
    Capsule("wrist, joint 6", 6, (0, 0, 0), (0, -0.10593, 0), 0.046),
    Capsule("wrist camera", 7, (-0.020, -0.050, -0.045), (0.020, -0.050, -0.045), 0.035),
    Capsule("gripper", 7, (0, 0, -0.090), (0, 0, -0.130), 0.050),
    Capsule("left finger", 7, (0.050, 0, -0.150), (0.045, 0, -0.205), 0.014),
    Capsule("right finger", 7, (-0.050, 0, -0.150), (-0.045, 0, -0.205), 0.014),
)
"""The Gen3 with vision module and an open Robotiq 2F-85; sizes are estimates."""

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
