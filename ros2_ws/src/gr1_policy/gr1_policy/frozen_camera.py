"""Detects a camera that sends one image again and again with fresh stamps. ROS-free.

While nothing moves, a working camera may repeat an image bit for bit. So a repeated image counts only if the
measured arm has moved since it was taken for the first time. The arm then stops in front of the frozen
camera, so only another image ends the fault.
"""

from __future__ import annotations

import math

import numpy as np

MOVED, TURNED = 0.005, 0.05
"""m and rad of motion after which an image must have changed: a 640x360 camera cannot miss them."""

Pose = tuple[np.ndarray, np.ndarray]


class FrozenCameraDetector:
    """Watches one camera. `fault` is "the image has not changed while ...", or empty."""

    def __init__(self):
        self._image: np.ndarray | None = None
        self._since: Pose | None = None
        self.fault = ""

    def add_frame(self, image: np.ndarray, pose: Pose | None) -> None:
        """A frame, u8[H, W, 3], and where the arm was when it was taken: xyz in m and quaternion xyzw, None
        if that is not known.
        """
        if self._image is None or not np.array_equal(image, self._image):
            self._image, self._since, self.fault = image, pose, ""
        elif self._since is None:
            self._since = pose
        elif pose is not None and not self.fault:
            self.fault = _motion(self._since, pose)


def _motion(before: Pose, now: Pose) -> str:
    moved = float(np.linalg.norm(now[0] - before[0]))
    cosine = abs(before[1] @ now[1]) / (np.linalg.norm(before[1]) * np.linalg.norm(now[1]))
    turned = 2.0 * math.acos(min(cosine, 1.0))
    if moved > MOVED:
        return f"the image has not changed while the arm moved {1e3 * moved:.0f} mm: the camera is frozen"
    if turned > TURNED:
        return (
            f"the image has not changed while the hand turned by {math.degrees(turned):.0f} degrees: the "
            "camera is frozen"
        )
    return ""
