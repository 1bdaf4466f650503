"""The pose of a frame, without ROS. ROS-free."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Pose(NamedTuple):
    """position f64[3] in m, quaternion f64[4] xyzw; of the tool center point in the arm's base frame unless
    stated otherwise.
    """

    position: np.ndarray
    quaternion: np.ndarray
