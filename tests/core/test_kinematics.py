"""The arm's kinematics, beside MuJoCo's of the simulated arm."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import GEN2, GEN3_GRIP, gen3
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


@pytest.mark.parametrize("chain", [GEN2, gen3()], ids=["Gen2", "Gen3"])
def test_the_jacobian_is_the_derivative_of_the_pose(chain):
    small = 1e-6
    for joints in POSTURES[:10]:
        jacobian = chain.jacobian(joints)
        for index in range(7):
            step = small * np.eye(7)[index]
            (before, turned_before), (after, turned_after) = (
                chain.forward(joints - step),
                chain.forward(joints + step),
            )
            turn = (Rotation.from_quat(turned_after) * Rotation.from_quat(turned_before).inv()).as_rotvec()
            derivative = np.concatenate([after - before, turn]) / (2 * small)
            np.testing.assert_allclose(jacobian[:, index], derivative, atol=1e-6)


def test_joints_that_turn_without_end_have_no_limits():
    for chain in (GEN2, gen3()):
        assert np.isinf(chain.limits[[0, 2, 4, 6]]).all() and np.isfinite(chain.limits[[1, 3, 5]]).all()
    np.testing.assert_allclose(np.degrees(GEN2.limits[[1, 3, 5]]), [[47, 313], [30, 330], [65, 295]])


def test_the_gen3_is_where_its_own_controller_says_it_is():
    # Read off an arm (ros_kortex #26): joint angles, and the tool point that its controller reports, 0.120 m
    # beyond the flange.
    joints = [6.0369, 1.0921, 3.3023, 4.6336, 6.0416, 1.182, 1.5333]
    position, quaternion = gen3(0.120).forward(joints)
    np.testing.assert_allclose(position, [0.779, 0.0593, 0.2015], atol=2e-4)
    np.testing.assert_allclose(quaternion, [0.5006, 0.4804, 0.4949, 0.5232], atol=2e-4)


def test_the_grip_of_the_gen3_lies_along_its_approach():
    joints = np.radians([10, 20, 170, -85, 5, -75, 90])
    (flange, quaternion), (grip, turned) = gen3(0.0).forward(joints), gen3(GEN3_GRIP).forward(joints)
    np.testing.assert_allclose(
        grip - flange, GEN3_GRIP * Rotation.from_quat(quaternion).as_matrix()[:, 2], atol=1e-12
    )
    np.testing.assert_array_equal(quaternion, turned)
