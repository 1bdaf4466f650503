"""End-effector poses: metres and quaternions xyzw in the base frame of the arm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gr1_core.pose import Pose

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

DOWN = np.array([1.0, 0.0, 0.0, 0.0])
"""The hand pointing straight down."""
DOWN.setflags(write=False)


def pointing_down(yaw: float) -> Rotation:
    """Gripper pointing straight down, rotated by `yaw` radians about the base's z. Yaw 0 is the quaternion
    [1, 0, 0, 0].
    """
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec([0.0, 0.0, yaw]) * Rotation.from_quat(DOWN)


def yaw_of(quaternion) -> float:
    """Yaw of the gripper about the base's z in (-pi, pi] rad: 0 when the thumb side faces +x."""
    from scipy.spatial.transform import Rotation

    x_axis = Rotation.from_quat(quaternion).apply([1.0, 0.0, 0.0])
    return math.atan2(x_axis[1], x_axis[0])


HOME = Pose(np.array([0.36, -0.10, 0.27]), DOWN)
