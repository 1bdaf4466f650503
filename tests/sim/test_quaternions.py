"""The loop's quaternions equal scipy's bit for bit: recordings and seeds rely on the last digit."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core.sim import quaternions

RNG = np.random.default_rng(0)
QUATERNIONS = RNG.normal(size=(3000, 4))
SCALES = (1e-9, 1e-4, 9.9e-4, 1.1e-3, 0.3, 3.1)


@pytest.mark.parametrize("scale", SCALES)
def test_rotation_vectors(scale):
    for vector in scale / np.sqrt(3) * RNG.uniform(-1.0, 1.0, (2000, 3)):
        quaternion = quaternions.from_rotation_vector(vector)
        np.testing.assert_array_equal(quaternion, Rotation.from_rotvec(vector).as_quat())
        ours = quaternions.to_rotation_vector(quaternions.normalize(quaternion))
        np.testing.assert_array_equal(ours, Rotation.from_quat(quaternion).as_rotvec())


def test_products_and_inverses():
    for first, second in zip(QUATERNIONS, QUATERNIONS[::-1]):
        ours = quaternions.multiply(quaternions.normalize(first), quaternions.normalize(second))
        np.testing.assert_array_equal(
            ours, (Rotation.from_quat(first) * Rotation.from_quat(second)).as_quat()
        )
        back = quaternions.conjugate(quaternions.normalize(first))
        np.testing.assert_array_equal(back, Rotation.from_quat(first).inv().as_quat())
        rest = quaternions.multiply(quaternions.normalize(second), back)
        expected = (Rotation.from_quat(second) * Rotation.from_quat(first).inv()).as_rotvec()
        np.testing.assert_array_equal(quaternions.to_rotation_vector(rest), expected)


def test_matrices():
    for quaternion in QUATERNIONS:
        matrix = Rotation.from_quat(quaternion).as_matrix()
        expected = Rotation.from_matrix(matrix).as_quat()
        np.testing.assert_array_equal(quaternions.from_matrix(matrix), expected)
        np.testing.assert_array_equal(quaternions.from_matrix(matrix.ravel()), expected)
