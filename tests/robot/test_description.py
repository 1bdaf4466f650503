"""The URDF that the arm node publishes has the kinematics that the gate uses, and the rig's cameras."""

import dataclasses

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import GEN2_CAPSULES, GEN3_CAPSULES, gen2, gen3
from gr1_core.rig import Mount, Rig, RigError
from gr1_core.urdf_arm import load_arm
from gr1_core.urdf_writer import write_urdf
from gr1_robot.arm.capsules import body_of
from gr1_robot.arm.description import urdf_of

ARMS = {"gen2": (gen2(), GEN2_CAPSULES), "gen3": (gen3(), GEN3_CAPSULES)}
JOINTS = tuple(f"joint_{number}" for number in range(1, 8))


@pytest.mark.parametrize("name", ARMS)
def test_another_reader_of_urdf_finds_the_same_poses(name):
    """A thousand random postures: 0.1 mm and 0.01 degrees."""
    chain, parts = ARMS[name]
    text = write_urdf(name, JOINTS, chain, parts)
    compiler = '<mujoco><compiler fusestatic="false" balanceinertia="true" inertiafromgeom="true"/></mujoco>'
    # MuJoCo wants a mass on each link that moves.
    text = text.replace('<link name="tool_center_point" />', '<link name="tool_center_point"><collision>'
                        '<geometry><sphere radius="0.01"/></geometry></collision></link>')  # fmt: skip
    model = mujoco.MjModel.from_xml_string(text.replace("</robot>", f"{compiler}</robot>"))
    data, tool = mujoco.MjData(model), model.body("tool_center_point").id
    for angles in np.random.default_rng(0).uniform(-np.pi, np.pi, (1000, 7)):
        data.qpos[:] = angles
        mujoco.mj_kinematics(model, data)
        position, quaternion = chain.forward(angles)
        np.testing.assert_allclose(data.xpos[tool], position, atol=1e-4)
        turn = Rotation.from_matrix(data.xmat[tool].reshape(3, 3)) * Rotation.from_quat(quaternion).inv()
        assert np.degrees(turn.magnitude()) < 0.01


def test_our_own_reader_of_urdf_gives_the_arm_back():
    chain, parts = ARMS["gen2"]
    arm = load_arm(write_urdf("gen2", JOINTS, chain, parts), "base_link", "tool_center_point")
    angles = np.random.default_rng(1).uniform(-np.pi, np.pi, 7)
    np.testing.assert_allclose(arm.chain.forward(angles)[0], chain.forward(angles)[0], atol=1e-7)
    np.testing.assert_allclose(arm.chain.jacobian(angles), chain.jacobian(angles), atol=1e-6)
    np.testing.assert_allclose(arm.chain.limits, chain.limits, atol=1e-6)
    np.testing.assert_allclose(arm.velocities, chain.speeds, rtol=1e-6)


def test_cameras_hang_where_the_rig_says():
    rig = Rig.load("kinova_gen2")
    mount = Mount("hand", (0.0, 0.1, -0.05), (0.0, 0.0, 0.6, 0.8))
    cameras = dict(rig.cameras) | {"wrist": dataclasses.replace(rig.cameras["wrist"], mount=mount)}
    rig = dataclasses.replace(rig, cameras=cameras)
    chain, parts = ARMS["gen2"]
    text = urdf_of("gen2", rig, JOINTS, chain, body_of(rig, chain, parts, 0.0))
    arm = load_arm(text, "base_link", "camera_wrist_optical_frame")
    angles = np.zeros(7)
    place, turn = chain.forward(angles)
    seen, seen_turn = arm.chain.forward(angles)
    hand = Rotation.from_quat(turn)
    np.testing.assert_allclose(seen, place + hand.apply(mount.position), atol=1e-7)
    apart = hand * Rotation.from_quat(mount.quaternion) * Rotation.from_quat(seen_turn).inv()
    assert apart.magnitude() < 1e-6
    assert "camera_static_optical_frame" not in text


def test_a_rig_with_mounts_fits_one_without_and_a_wrong_quaternion_is_named():
    raw = Rig.load("kinova_gen2").to_dict()
    raw["cameras"]["static"]["mount"] = {"on": "base", "position": [1, 0, 1], "quaternion": [0, 0, 0, 1]}
    Rig.from_dict(raw).require_same(Rig.load("kinova_gen2"))
    raw["cameras"]["static"]["mount"]["quaternion"] = [0, 0, 0, 2]
    with pytest.raises(RigError, match="cameras.static.mount.quaternion is .* of length 2: it must be 1"):
        Rig.from_dict(raw)
