"""The ways in which datasets write a rotation as numbers."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

FORMS = {
    "euler_xyz": (3,),
    "quaternion_xyzw": (4,),
    "quaternion_wxyz": (4,),
    "rotation_vector": (3,),
    "axis_angle": (3, 4),
    "matrix": (9,),
    "rotation_6d_columns": (6,),
    "rotation_6d_rows": (6,),
}
"""Form -> numbers of components.

euler_xyz: about fixed axes. axis_angle: x, y, z, angle, or a rotation vector. matrix: row by row.
rotation_6d_columns: the first two columns of the matrix, one after the other (Zhou et al. 2019);
rotation_6d_rows: its first two rows (PyTorch3D).
"""
MOTION_FORMS = {**FORMS, "euler_difference": (3,)}
"""Of a motion. euler_difference: added to the Euler angles of the pose."""


class RotationError(ValueError):
    """Numbers that are no rotation. index: the row. reason: what they are instead."""

    def __init__(self, index: int, reason: str):
        super().__init__(reason)
        self.index, self.reason = index, reason


def parse(values: np.ndarray, form: str) -> Rotation:
    """f64[T, n] in one of FORMS -> T rotations. Raises RotationError for numbers far from a rotation."""
    if form == "euler_xyz":
        return Rotation.from_euler("xyz", values)
    if form in ("quaternion_xyzw", "quaternion_wxyz"):
        _require_length(np.linalg.norm(values, axis=1), values, "the quaternion")
        return Rotation.from_quat(values if form == "quaternion_xyzw" else np.roll(values, -1, axis=1))
    if form == "rotation_vector" or (form == "axis_angle" and values.shape[1] == 3):
        return Rotation.from_rotvec(values)
    if form == "axis_angle":
        lengths = np.linalg.norm(values[:, :3], axis=1)
        turned = np.abs(values[:, 3]) > 1e-9
        _require_length(np.where(turned, lengths, 1.0), values, "the axis")
        return Rotation.from_rotvec(values[:, :3] / np.where(turned, lengths, 1.0)[:, None] * values[:, 3:])
    if form == "matrix":
        matrices = values.reshape(-1, 3, 3)
        _require_rotation(matrices, values)
        return Rotation.from_matrix(matrices)
    first, second = values[:, :3], values[:, 3:]
    _require_length(np.linalg.norm(first, axis=1), values, "the first half")
    _require_length(np.linalg.norm(second, axis=1), values, "the second half")
    x = first / np.linalg.norm(first, axis=1, keepdims=True)
    y = second - (x * second).sum(1, keepdims=True) * x
    _require_length(np.linalg.norm(y, axis=1), values, "the second half at right angles to the first")
    y = y / np.linalg.norm(y, axis=1, keepdims=True)
    matrices = np.stack([x, y, np.cross(x, y)], axis=2)
    return Rotation.from_matrix(matrices if form == "rotation_6d_columns" else matrices.transpose(0, 2, 1))


def _require_length(lengths: np.ndarray, values: np.ndarray, what: str) -> None:
    wrong = np.flatnonzero((lengths < 0.5) | (lengths > 1.5))
    if len(wrong):
        raise RotationError(int(wrong[0]), f"{what} of {values[wrong[0]].tolist()}, expected length 1")


def _require_rotation(matrices: np.ndarray, values: np.ndarray) -> None:
    off = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    wrong = np.flatnonzero((off > 0.2) | (np.linalg.det(matrices) < 0))
    if len(wrong):
        raise RotationError(int(wrong[0]), f"{values[wrong[0]].tolist()} is no rotation matrix, row by row")
