"""From a camera's own picture to the rig's size: the largest centred part of the right shape, scaled down. No ROS import."""

from __future__ import annotations

import cv2
import numpy as np


class FramingError(ValueError):
    """A picture too small for the size that is wanted: it would have to be invented."""


class Framing:
    """Crop and scale from native (width, height) to wanted (width, height) pixels. Raises FramingError where that enlarges.

    At the native size the picture is the same array, bit for bit. Otherwise each pixel is the mean of the area that it covers.
    """

    def __init__(self, native: tuple[int, int], wanted: tuple[int, int]):
        if not covers(native, wanted):
            raise FramingError(f"pictures of {native[0]}x{native[1]} cannot become {wanted[0]}x{wanted[1]}: they are too small")
        self.native, self.wanted = native, wanted
        self._width, self._height = _part(native, wanted)
        self._left, self._top = (native[0] - self._width) // 2, (native[1] - self._height) // 2

    @property
    def keeps(self) -> bool:
        """Nothing is cropped or scaled."""
        return self.native == self.wanted

    def image(self, image: np.ndarray) -> np.ndarray:
        """u8[H, W, 3] of the native size -> u8[h, w, 3] of the wanted one. Raises FramingError for another native size."""
        if image.shape[1::-1] != self.native:
            raise FramingError(f"a picture of {image.shape[1]}x{image.shape[0]} came, expected {self.native[0]}x{self.native[1]}")
        part = image[self._top : self._top + self._height, self._left : self._left + self._width]
        if (self._width, self._height) == self.wanted:
            return part
        return cv2.resize(part, self.wanted, interpolation=cv2.INTER_AREA)

    def intrinsics(self, matrix: np.ndarray) -> np.ndarray:
        """f64[3, 3] of the native picture -> that of the wanted one, pixels; (0, 0) is the middle of the first pixel.

        Lens distortion is a function of the direction of a ray: its coefficients stay as they are.
        """
        matrix = np.array(matrix, np.float64)
        for row, (size, part, start) in enumerate(zip(self.wanted, (self._width, self._height), (self._left, self._top))):
            scale = size / part
            matrix[row] *= scale
            matrix[row, 2] += (0.5 - start) * scale - 0.5
        return matrix


def covers(native: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Whether a native picture has a part of the wanted shape with at least as many pixels."""
    width, height = _part(native, wanted)
    return width >= wanted[0] and height >= wanted[1]


def _part(native: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """Size of the largest part of `native` with the shape of `wanted`."""
    if native[0] * wanted[1] >= native[1] * wanted[0]:
        return round(native[1] * wanted[0] / wanted[1]), native[1]
    return native[0], round(native[0] * wanted[1] / wanted[0])
