"""The pose of a frame: metres and quaternions xyzw."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

_ORIGIN, _UPRIGHT = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
for _default in (_ORIGIN, _UPRIGHT):
    _default.setflags(write=False)


class Pose(NamedTuple):
    """position f64[3] in m, quaternion f64[4] xyzw.

    Of the point between the fingertips, in the arm's base frame, unless stated otherwise.
    """

    position: np.ndarray = _ORIGIN
    quaternion: np.ndarray = _UPRIGHT

    @property
    def rotation(self) -> Rotation:
        from scipy.spatial.transform import Rotation

        return Rotation.from_quat(self.quaternion)

    def vector(self) -> np.ndarray:
        """f64[7]: position, quaternion."""
        return np.concatenate([self.position, self.quaternion])
