"""Published intrinsics of the cameras, scaled to any image size. Pixel centres are whole numbers, as in ROS.

static: Azure Kinect, colour camera in its 1280x720 mode, field of view 90 x 59 degrees (Microsoft's hardware
specification). wrist: RealSense D435, colour sensor 69.4 x 42.5 degrees at 1920x1080 (Intel's D400 series
data sheet). Its 640x480 mode keeps the height of the sensor and crops the sides. overview: no camera of the
rig, only for images in documents.
"""

from __future__ import annotations

import math

import numpy as np

VERTICAL_FOV = {"static": math.radians(59.0), "wrist": math.radians(42.5), "overview": math.radians(38.0)}


def intrinsics(role: str, width: int, height: int) -> np.ndarray:
    """Camera matrix f64[3, 3] in pixels of a pinhole camera with square pixels that keeps the sensor's full
    height.
    """
    focal = 0.5 * height / math.tan(0.5 * VERTICAL_FOV[role])
    return np.array([[focal, 0.0, 0.5 * (width - 1)], [0.0, focal, 0.5 * (height - 1)], [0.0, 0.0, 1.0]])
