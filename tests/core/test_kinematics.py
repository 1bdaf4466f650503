"""The arm's kinematics, beside MuJoCo's of the simulated arm."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import GEN2
from gr1_core.sim.control import Controller
from gr1_core.sim.scene import build

POSTURES = np.random.default_rng(0).uniform(-np.pi, np.pi, (50, 7))


@pytest.fixture(scope="module")
def controller():
    return Controller(build())


def test_the_fingertips_are_where_the_simulated_arm_has_them(controller):
    for joints in POSTURES:
        position, quaternion = GEN2.forward(joints)
        pose = controller.forward(joints)
        np.testing.assert_allclose(position, pose.position, atol=1e-9)
        assert (Rotation.from_quat(quaternion) * pose.rotation.inv()).magnitude() < 1e-7


def test_the_jacobian_is_the_derivative_of_the_pose():
    small = 1e-6
    for joints in POSTURES[:10]:
        jacobian = GEN2.jacobian(joints)
        for index in range(7):
            step = small * np.eye(7)[index]
            (before, turned_before), (after, turned_after) = GEN2.forward(joints - step), GEN2.forward(joints + step)
            turn = (Rotation.from_quat(turned_after) * Rotation.from_quat(turned_before).inv()).as_rotvec()
            derivative = np.concatenate([after - before, turn]) / (2 * small)
            np.testing.assert_allclose(jacobian[:, index], derivative, atol=1e-6)


def test_joints_that_turn_without_end_have_no_limits():
    assert np.isinf(GEN2.limits[[0, 2, 4, 6]]).all()
    np.testing.assert_allclose(np.degrees(GEN2.limits[[1, 3, 5]]), [[47, 313], [30, 330], [65, 295]])
