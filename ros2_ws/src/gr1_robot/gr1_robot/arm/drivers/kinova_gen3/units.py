"""Conversion between Kortex's units and frames and ours. ROS-free.

Kortex: metres, degrees, degrees/s; orientation as Tait-Bryan angles x, y, z about fixed axes (Kortex #101,
#107); joint angles 0 .. 360. A twist in CARTESIAN_REFERENCE_FRAME_BASE has its linear and its angular part
along the base axes, in ..._MIXED the linear part along the base axes and the angular part along the tool
axes, in ..._TOOL both along the tool axes (Common/CartesianReferenceFrame.md). The linear part is that of the
arm's own tool point, which ControlConfig's tool transform places on the flange, not that of our fingertips.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.pose import Pose


def rotation(degrees) -> Rotation:
    """theta_x, theta_y, theta_z in degrees, fixed axes."""
    return Rotation.from_euler("xyz", degrees, degrees=True)


def joint_angles(degrees) -> np.ndarray:
    """0 .. 360 degrees -> f64[n] rad in -pi .. pi, the range of the joint limits."""
    return np.radians((np.asarray(degrees, np.float64) + 180.0) % 360.0 - 180.0)


class Tool:
    """The fingertips relative to the arm's own tool point.

    position [3] m, degrees [3]: the arm's tool on its flange (ControlConfig.GetToolConfiguration).
    flange_to_fingertips: m along the flange's z.
    """

    def __init__(self, position, degrees, flange_to_fingertips: float):
        self._turn = rotation(degrees).inv()
        self._lever = self._turn.apply(
            np.array([0.0, 0.0, flange_to_fingertips]) - np.asarray(position, np.float64)
        )

    def fingertips(self, position, degrees) -> Pose:
        """The arm's tool pose, m and degrees, base frame -> that of the fingertips."""
        turned = rotation(degrees)
        return Pose(
            np.asarray(position, np.float64) + turned.apply(self._lever), (turned * self._turn).as_quat()
        )

    def twist(self, linear, angular, fingertips: Pose) -> tuple[np.ndarray, np.ndarray]:
        """The fingertips' twist, m/s and rad/s, base frame -> the tool point's, m/s and degrees/s,
        CARTESIAN_REFERENCE_FRAME_BASE.
        """
        lever = (Rotation.from_quat(fingertips.quaternion) * self._turn.inv()).apply(self._lever)
        return linear - np.cross(angular, lever), np.degrees(angular)
