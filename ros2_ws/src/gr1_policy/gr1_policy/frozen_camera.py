"""A camera that sends one picture again and again, with fresh stamps: only the moving arm gives it away. No ROS import.

While nothing moves, an honest digital picture may repeat itself bit for bit. So it counts only if the measured arm has moved since the
picture was taken for the first time. The arm rests then, and stands still in front of a camera that is still frozen: only another
picture ends the fault.
"""

from __future__ import annotations

import math

import numpy as np

MOVED, TURNED = 0.005, 0.05
"""m and rad that the arm moves before a picture must have changed: what a 640x360 camera cannot miss."""

Pose = tuple[np.ndarray, np.ndarray]


class Repeats:
    """Watches one camera. `fault` is "the picture has not changed while ...", or empty."""

    def __init__(self):
        self._image: np.ndarray | None = None
        self._since: Pose | None = None
        self.fault = ""

    def frame(self, image: np.ndarray, pose: Pose | None) -> None:
        """A frame, u8[H, W, 3], and where the arm was when it was taken: xyz in m and quaternion xyzw, None if that is not known."""
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
        return f"the picture has not changed while the arm moved {1e3 * moved:.0f} mm: the camera is frozen"
    if turned > TURNED:
        return f"the picture has not changed while the hand turned by {math.degrees(turned):.0f} degrees: the camera is frozen"
    return ""
