"""The arm in the viewer stands as the gate's kinematics say, and its shapes are those of the URDF."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import GEN2_CAPSULES, gen2, gen3
from gr1_core.urdf import UrdfError
from gr1_core.urdf_arm import load_arm
from gr1_core.view.arm_model import ArmModel, built_in_urdf, hand_of

ARMS = Path(__file__).parents[1] / "robot" / "arms"
JOINTS = tuple(f"joint_{number}" for number in range(1, 8))


@pytest.mark.parametrize("name, chain", [("kinova_gen2", gen2()), ("kinova_gen3", gen3())])
def test_the_built_in_arms_stand_where_the_gate_has_them(name, chain):
    """Random postures: 0.1 mm and 0.01 degrees."""
    model = ArmModel(built_in_urdf(name))
    for angles in np.random.default_rng(0).uniform(-np.pi, np.pi, (200, 7)):
        position, quaternion = chain.forward(angles)
        place, turn = model.forward("tool_center_point", dict(zip(JOINTS, angles)))
        np.testing.assert_allclose(place, position, atol=1e-4)
        assert np.degrees((turn * Rotation.from_quat(quaternion).inv()).magnitude()) < 0.01


@pytest.mark.parametrize("name, tip", [("six_joint", "tool0"), ("five_joint", "hand")])
def test_any_urdf_stands_as_the_gate_reads_it(name, tip):
    text = (ARMS / f"{name}.urdf").read_text()
    arm, model = load_arm(text, "", tip), ArmModel(text)
    for angles in np.random.default_rng(1).uniform(-1.0, 1.0, (50, len(arm.joint_names))):
        place, turn = model.forward(tip, dict(zip(arm.joint_names, angles)))
        position, quaternion = arm.chain.forward(angles)
        np.testing.assert_allclose(place, position, atol=1e-6)
        assert (turn * Rotation.from_quat(quaternion).inv()).magnitude() < 1e-6


def test_the_frame_of_the_poses_is_base_link_also_behind_a_world():
    fixed = '<joint name="j" type="fixed"><parent link="world"/><child link="base_link"/>{}</joint>'
    origin = '<origin xyz="1 0 0.5" rpy="0 0 1.5707963"/>'
    text = f'<robot name="a"><link name="world"/>{fixed.format(origin)}<link name="base_link"/></robot>'
    model = ArmModel(text)
    place, quaternion = model.root_pose()
    base, turn = model.forward("base_link", {})
    np.testing.assert_allclose(place + Rotation.from_quat(quaternion).apply(base), 0, atol=1e-9)
    assert (Rotation.from_quat(quaternion) * turn).magnitude() < 1e-9
    place, quaternion = ArmModel((ARMS / "six_joint.urdf").read_text()).root_pose()
    assert not place.any() and quaternion.tolist() == [0, 0, 0, 1]


def test_a_finger_that_follows_another_one_moves_with_it():
    model = ArmModel((ARMS / "six_joint.urdf").read_text())
    (left, _), (right, _) = (
        model.forward(name, {"finger": 0.03}) for name in ("left_finger", "right_finger")
    )
    assert np.linalg.norm(left - right) == pytest.approx(0.04 + 2 * 0.03)
    [link] = [link for link in model.links if link.name == "right_finger"]
    assert model.pose(link, {}) is None, "its leader's position is not known"


def test_shapes_are_those_of_the_urdf_and_a_mesh_that_is_not_here_is_named():
    model = ArmModel((ARMS / "six_joint.urdf").read_text())
    shapes = {link.name: link.shapes for link in model.links}
    assert [(shape.kind, shape.size) for shape in shapes["forearm"]] == [("box", (0.08, 0.08, 0.32))]
    assert [(shape.kind, shape.size) for shape in shapes["base"]] == [("cylinder", (0.07, 0.1))]
    assert model.missing == ["package://nowhere/wrist.stl"] and not shapes["wrist_1_link"]


def test_the_mesh_beside_the_file_is_found(tmp_path):
    mesh = '<geometry><mesh filename="m.stl" scale="2 2 2"/></geometry>'
    text = f'<robot name="a"><link name="b"><visual>{mesh}</visual></link></robot>'
    (tmp_path / "m.stl").write_bytes(b"solid m\nendsolid m\n")
    [shape] = ArmModel(text, "a.urdf", tmp_path).links[0].shapes
    assert shape.file == tmp_path / "m.stl" and shape.size == (2.0, 2.0, 2.0)


def test_the_hand_alone_is_where_it_is_on_the_whole_arm():
    model = ArmModel(built_in_urdf("kinova_gen2_small"))
    angles = dict(zip(JOINTS, np.random.default_rng(2).uniform(-np.pi, np.pi, 7)))
    tool, turn = model.forward("tool_center_point", angles)
    last, last_turn = model.forward("joint_7_link", angles)
    whole = [link for link in model.links if link.name == "joint_7_link"][0].shapes
    assert len(whole) > sum(part.joint == 7 for part in GEN2_CAPSULES)
    for shape, (same, xyz, _) in zip(whole, hand_of(model), strict=True):
        assert same is shape
        np.testing.assert_allclose(tool + turn.apply(xyz), last + last_turn.apply(shape.xyz), atol=1e-9)


@pytest.mark.parametrize(
    "text, words",
    [
        ("<robot", "is not XML"),
        ("<robot name='a'><link name='b'/><link name='c'/></robot>", "2 root links"),
        (
            "<robot name='a'><link name='b'><visual><geometry><box size='1 2'/></geometry></visual></link>"
            "</robot>",
            "expected 3 numbers",
        ),
    ],
)
def test_what_is_wrong_with_a_urdf_is_named(text, words):
    with pytest.raises(UrdfError, match=words):
        ArmModel(text, "arm.urdf")


def test_other_rigs_have_no_built_in_arm():
    assert built_in_urdf("calvin") == "" and built_in_urdf("kinova_gen24") == ""
