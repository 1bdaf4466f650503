"""An arm from its URDF, against MuJoCo's own reader of URDF."""

import re
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core.urdf import UrdfError
from gr1_core.urdf_arm import load_arm

ARMS = Path(__file__).parent / "arms"
CASES = {"six_joint": ("base", "tool0"), "five_joint": ("base_link", "hand")}
TOOL = (0.01, -0.02, 0.12)


def text_of(name: str) -> str:
    return (ARMS / f"{name}.urdf").read_text()


def mujoco_model(name: str) -> mujoco.MjModel:
    """Its meshes left out, its fixed links kept."""
    text = re.sub(r"<collision><geometry><mesh.*?</collision>", "", text_of(name))
    inertial = (
        '<inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>'
    )
    text = re.sub(r'<link name="(\w+)"/>', rf'<link name="\1">{inertial}</link>', text)
    text = re.sub(r'(<link name="\w+">)(?!<inertial>)', rf"\1{inertial}", text)
    compiler = '<mujoco><compiler fusestatic="false" balanceinertia="true"/></mujoco>'
    return mujoco.MjModel.from_xml_string(text.replace("</robot>", f"{compiler}</robot>"))


@pytest.mark.parametrize("name", CASES)
def test_poses_and_jacobians_are_mujocos_at_random_postures(name):
    base, tip = CASES[name]
    arm, model = load_arm(text_of(name), base, tip, TOOL), mujoco_model(name)
    data = mujoco.MjData(model)
    joints = [model.joint(joint) for joint in arm.joint_names]
    random, root = np.random.default_rng(0), model.body(base) if base != "base_link" else None
    for angles in random.uniform(-1.6, 1.6, (200, len(joints))):
        for joint, angle in zip(joints, angles):
            data.qpos[joint.qposadr] = angle
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        hand = data.body(tip)
        turn = hand.xmat.reshape(3, 3)
        place = hand.xpos + turn @ TOOL
        jacobian = np.zeros((6, model.nv))
        mujoco.mj_jac(model, data, jacobian[:3], jacobian[3:], place, hand.id)
        jacobian = jacobian[:, [joint.dofadr[0] for joint in joints]]
        if root is not None:  # from the world's frame to the base's
            own = data.body(base)
            back = own.xmat.reshape(3, 3).T
            place, turn = back @ (place - own.xpos), back @ turn
            jacobian = np.vstack([back @ jacobian[:3], back @ jacobian[3:]])
        position, quaternion = arm.chain.forward(angles)
        np.testing.assert_allclose(position, place, atol=1e-6)
        np.testing.assert_allclose(Rotation.from_quat(quaternion).as_matrix(), turn, atol=1e-6)
        np.testing.assert_allclose(arm.chain.jacobian(angles), jacobian, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_parts_enclose_the_collision_shapes(name):
    """Corners of MuJoCo's boxes and rims of its cylinders lie inside of the capsules of their link."""
    base, tip = CASES[name]
    arm, model = load_arm(text_of(name), base, tip), mujoco_model(name)
    data = mujoco.MjData(model)
    angles = np.random.default_rng(1).uniform(-1, 1, len(arm.joint_names))
    for joint, angle in zip(arm.joint_names, angles):
        data.qpos[model.joint(joint).qposadr] = angle
    mujoco.mj_kinematics(model, data)
    own = data.body(base) if base != "base_link" else None
    origins, turns = arm.chain.frames(angles[None])
    checked = 0
    for geom in range(model.ngeom):
        body = model.body(model.geom_bodyid[geom]).name
        parts = [part for part in arm.parts if part.name.split(" ")[0] == body]
        if not parts:
            continue
        size, kind = model.geom_size[geom], model.geom_type[geom]
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
        if kind == mujoco.mjtGeom.mjGEOM_BOX:
            points = signs * size
        elif kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
            points = signs * [size[0] / np.sqrt(2), size[0] / np.sqrt(2), size[1]]
        else:
            points = signs / np.sqrt(3) * size[0]
        world = data.geom_xpos[geom] + points @ data.geom_xmat[geom].reshape(3, 3).T
        if own is not None:
            world = (world - own.xpos) @ own.xmat.reshape(3, 3)
        for point in world:
            distances = []
            for part in parts:
                start, end = (
                    origins[0, part.joint] + turns[0, part.joint] @ np.array(place)
                    for place in (part.start, part.end)
                )
                along = end - start
                share = np.clip((point - start) @ along / max(along @ along, 1e-12), 0, 1)
                distances.append(np.linalg.norm(point - start - share * along) - part.radius)
            assert min(distances) < 1e-6, (body, point)
            checked += 1
    assert checked > 40


def test_limits_and_speeds_are_the_urdfs():
    arm = load_arm(text_of("six_joint"), "base", "tool0")
    assert arm.joint_names == ("pan", "lift", "elbow", "wrist_1", "wrist_2", "wrist_3")
    np.testing.assert_allclose(arm.chain.limits[1], [-3.1, 3.1])
    assert np.isinf(arm.chain.limits[4]).all()
    np.testing.assert_allclose(arm.velocities, [2.1, 2.1, 2.1, 2.1, 2.6, 2.6])
    names = {part.name for part in arm.parts}
    assert {"base", "upper_arm", "tool0", "left_finger", "right_finger", "link behind wrist_1"} <= names


@pytest.mark.parametrize(
    "change, message",
    [
        (("tool0", "tool9"), "there is no link 'tool0'"),
        (('"revolute"', '"prismatic"'), "joint 'pan' is prismatic: an arm's joints must turn"),
        (('velocity="2.1"', 'velocity="fast"'), 'velocity="fast", expected a number'),
        (('size="0.08 0.08 0.32"', 'size="0.08 0.08"'), 'size="0.08 0.08", expected 3 numbers'),
        (("</robot>", ""), "is not XML"),
    ],
)
def test_a_urdf_that_cannot_be_used_is_refused_by_name(change, message):
    with pytest.raises(UrdfError, match=re.escape(message)):
        load_arm(text_of("six_joint").replace(*change), "base", "tool0", where="arm.urdf")
