"""The rig's image from a camera's: which of its sizes to request, and the centred crop and reduction.
ROS-free.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np


def choose_size(sizes: Iterable[tuple[int, int]], width: int, height: int) -> tuple[int, int] | None:
    """The smallest (width, height) that covers the wanted one; sizes of the same aspect ratio, which need no
    crop, come first.

    None: no size covers it. Images are never enlarged: that would only fake detail.
    """
    covering = [(w, h) for w, h in set(sizes) if w >= width and h >= height]
    return min(
        covering, key=lambda size: (size[0] * height != size[1] * width, size[0] * size[1]), default=None
    )


class Framing:
    """The largest centred part of a `native` image with the aspect ratio of `wanted`, reduced to it; sizes
    are (width, height).

    Bit-exact identity when the sizes are equal.
    """

    def __init__(self, native: tuple[int, int], wanted: tuple[int, int]):
        self.native, self.wanted = native, wanted
        scale = min(native[0] / wanted[0], native[1] / wanted[1])
        self._crop = min(round(wanted[0] * scale), native[0]), min(round(wanted[1] * scale), native[1])
        self._left, self._top = ((whole - part) // 2 for whole, part in zip(native, self._crop, strict=True))

    def image(self, image: np.ndarray) -> np.ndarray:
        """u8[native] -> u8[wanted]; without crop and reduction the same array is returned."""
        if self.native == self.wanted:
            return image
        (width, height), left, top = self._crop, self._left, self._top
        part = image[top : top + height, left : left + width]
        return (
            part if self._crop == self.wanted else cv2.resize(part, self.wanted, interpolation=cv2.INTER_AREA)
        )

    def intrinsics(self, matrix: np.ndarray) -> np.ndarray:
        """f64[3, 3] of the native image -> of the wanted one. The centre of the first pixel is (0, 0).
        Distortion is unchanged.
        """
        if self.native == self.wanted:
            return matrix
        x, y = (wanted / part for wanted, part in zip(self.wanted, self._crop, strict=True))
        crop = np.array([[1.0, 0.0, -self._left], [0.0, 1.0, -self._top], [0.0, 0.0, 1.0]])
        reduce = np.array([[x, 0.0, (x - 1.0) / 2.0], [0.0, y, (y - 1.0) / 2.0], [0.0, 0.0, 1.0]])
        return reduce @ crop @ matrix

    def __str__(self) -> str:
        """Crop and reduction, for a person; "" for none."""
        if self.native == self.wanted:
            return ""
        parts = [f"{self.native[0]}x{self.native[1]}"]
        if self._crop != self.native:
            parts.append(f"cropped to {self._crop[0]}x{self._crop[1]}")
        if self._crop != self.wanted:
            parts.append(f"reduced to {self.wanted[0]}x{self.wanted[1]}")
        return " ".join(parts)
