"""Conversion between the vendor's frames and units and ours. ROS-free.

The vendor's end effector is a point in the hand, `offset` behind the point between the fingertips along the
approach axis z. Its orientation is intrinsic XYZ Euler angles in rad. A Cartesian velocity has its
translation in the base frame and its rotation in the end effector's frame. Joints are in degrees, their
velocities reported at half the true value; fingers 0 open .. `finger_closed`.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.pose import Pose
from gr1_robot.arm.drivers.kinova_gen2.sdk import AngularInfo, CartesianInfo, FingersPosition


def pose(info: CartesianInfo, offset: float) -> Pose:
    """The vendor's end effector -> the point between the fingertips, base frame."""
    turn = Rotation.from_euler("XYZ", (info.ThetaX, info.ThetaY, info.ThetaZ))
    return Pose(np.array((info.X, info.Y, info.Z)) + turn.apply((0.0, 0.0, offset)), turn.as_quat())


def velocity(linear: np.ndarray, angular: np.ndarray, quaternion: np.ndarray, offset: float) -> CartesianInfo:
    """Velocity of the point between the fingertips, f64[3] m/s and f64[3] rad/s, base frame -> the vendor's
    Cartesian velocity.

    quaternion: the hand's orientation now, xyzw.
    """
    turn = Rotation.from_quat(quaternion)
    moved = linear - np.cross(angular, turn.apply((0.0, 0.0, offset)))
    return CartesianInfo(*moved, *turn.inv().apply(angular))


def joints(info: AngularInfo) -> np.ndarray:
    """Degrees -> f64[7] rad."""
    return np.radians([getattr(info, name) for name, _ in info._fields_])


def joint_velocities(info: AngularInfo) -> np.ndarray:
    """Half the velocity in degrees/s, a negative one possibly as 360 minus its size -> f64[7] rad/s."""
    reported = np.array([getattr(info, name) for name, _ in info._fields_])
    return np.radians(2.0 * np.where(reported > 180.0, reported - 360.0, reported))


def fingers(position: FingersPosition) -> np.ndarray:
    """f64[3] in the vendor's units."""
    return np.array((position.Finger1, position.Finger2, position.Finger3))


def force(info: CartesianInfo) -> tuple[np.ndarray, np.ndarray]:
    """f64[3] N and f64[3] Nm, base frame."""
    return np.array((info.X, info.Y, info.Z)), np.array((info.ThetaX, info.ThetaY, info.ThetaZ))
