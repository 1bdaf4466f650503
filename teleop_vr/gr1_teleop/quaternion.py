"""Unit quaternions (x, y, z, w) as f64[4]. Ten times as fast as scipy's Rotation for single values."""

from __future__ import annotations

import math

import numpy as np

IDENTITY = np.array([0.0, 0.0, 0.0, 1.0])
IDENTITY.setflags(write=False)


def multiply(a, b) -> np.ndarray:
    """The product a * b: rotates by b first, then by a. Normalized against rounding."""
    ax, ay, az, aw = (float(item) for item in a)
    bx, by, bz, bw = (float(item) for item in b)
    return normalize(
        (
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        )
    )


def inverse(q) -> np.ndarray:
    x, y, z, w = q
    return np.array([-x, -y, -z, w])


def normalize(q) -> np.ndarray:
    length = math.hypot(*q)
    return np.array([item / length for item in q])


def to_rotation_vector(q) -> np.ndarray:
    """The rotation vector f64[3] in rad, at most pi long."""
    x, y, z, w = (float(item) for item in q)
    sine = math.hypot(x, y, z)
    if sine < 1e-12:
        return np.array([2.0 * x, 2.0 * y, 2.0 * z]) * (1.0 if w >= 0 else -1.0)
    if w < 0:
        x, y, z, w = -x, -y, -z, -w
    return np.array([x, y, z]) * (2.0 * math.atan2(sine, w) / sine)


def from_rotation_vector(vector) -> np.ndarray:
    """The quaternion of a rotation vector f64[3] in rad."""
    x, y, z = (float(item) for item in vector)
    angle = math.hypot(x, y, z)
    factor = math.sin(angle / 2.0) / angle if angle > 1e-12 else 0.5
    return normalize((x * factor, y * factor, z * factor, math.cos(angle / 2.0)))


def rotation_between(a, b) -> np.ndarray:
    """The rotation vector f64[3] in rad that turns a into b, in the frame of a and b."""
    return to_rotation_vector(multiply(b, inverse(a)))


def rotate(q, vector) -> np.ndarray:
    """The vector f64[3] rotated by q."""
    axis, w = np.asarray(q[:3], np.float64), float(q[3])
    twice = 2.0 * _cross(axis, vector)
    return np.asarray(vector, np.float64) + w * twice + _cross(axis, twice)


def _cross(a, b) -> np.ndarray:
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
