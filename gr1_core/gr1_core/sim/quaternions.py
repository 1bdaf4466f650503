"""Rotations of the arm's 100 Hz loop as quaternions xyzw in plain floats.

scipy's Rotation takes tens of microseconds per call, which was half of a tick. These functions compute the
same formulas in the same order, so that their results equal scipy's bit for bit
(tests/sim/test_quaternions.py).
"""

from __future__ import annotations

import math

import numpy as np

Quaternion = tuple[float, float, float, float]
_SMALL_ANGLE = 1e-3  # rad: below it, series replace sin(x) / x


def normalize(quaternion) -> Quaternion:
    """Unit quaternion of f[4] or four floats."""
    x, y, z, w = quaternion
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    return x / norm, y / norm, z / norm, w / norm


def from_matrix(matrix: np.ndarray) -> Quaternion:
    """Unit quaternion of an orthogonal matrix f64[9] or f64[3, 3], row by row (Markley 2008)."""
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.ravel().tolist()
    trace = m00 + m11 + m22
    largest = max(m00, m11, m22, trace)
    if largest == m00:
        return normalize((1 - trace + 2 * m00, m10 + m01, m20 + m02, m21 - m12))
    if largest == m11:
        return normalize((m01 + m10, 1 - trace + 2 * m11, m21 + m12, m02 - m20))
    if largest == m22:
        return normalize((m02 + m20, m12 + m21, 1 - trace + 2 * m22, m10 - m01))
    return normalize((m21 - m12, m02 - m20, m10 - m01, 1 + trace))


def from_rotation_vector(vector) -> Quaternion:
    """Unit quaternion of a rotation vector f[3] in rad."""
    x, y, z = vector
    angle = math.sqrt(x * x + y * y + z * z)
    if angle <= _SMALL_ANGLE:
        square = angle * angle
        scale = 0.5 - square / 48 + square * square / 3840
    else:
        scale = math.sin(angle / 2) / angle
    return scale * x, scale * y, scale * z, math.cos(angle / 2)


def multiply(first: Quaternion, second: Quaternion) -> Quaternion:
    """The rotation `second`, then `first`."""
    ax, ay, az, aw = first
    bx, by, bz, bw = second
    return normalize(
        (
            aw * bx + bw * ax + (ay * bz - az * by),
            aw * by + bw * ay + (az * bx - ax * bz),
            aw * bz + bw * az + (ax * by - ay * bx),
            aw * bw - ax * bx - ay * by - az * bz,
        )
    )


def conjugate(quaternion: Quaternion) -> Quaternion:
    """The inverse of a unit quaternion."""
    x, y, z, w = quaternion
    return -x, -y, -z, w


def to_rotation_vector(quaternion: Quaternion) -> tuple[float, float, float]:
    """Rotation vector in rad, of at most half a turn."""
    x, y, z, w = quaternion
    if w < 0:
        x, y, z, w = -x, -y, -z, -w
    angle = 2 * math.atan2(math.sqrt(x * x + y * y + z * z), w)
    if angle <= _SMALL_ANGLE:
        square = angle * angle
        scale = 2 + square / 12 + 7 * square * square / 2880
    else:
        scale = angle / math.sin(angle / 2)
    return scale * x, scale * y, scale * z
