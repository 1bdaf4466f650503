"""Joint angles as state and action: by the arm's URDF from conversion to evaluation, and never taken for
metres.
"""

import json

import mujoco
import numpy as np
import pytest

from gr1_core import Rig
from gr1_core.cli import main
from gr1_core.data.convert.sources.lerobot import LeRobotSource
from gr1_core.data.convert.sources.source import SourceError
from gr1_core.urdf import UrdfError, load_chain
from tests.train.conftest import CHANGES

from .public_lerobot import POSE, make, write_mapping, write_rig

ARM = """<robot name="arm">
<link name="base"/><link name="rail"/><link name="upper"/><link name="lower"/><link name="tool"/><link
name="finger"/>
<joint name="slide" type="prismatic"><parent link="base"/><child link="rail"/>
<origin xyz="0.2 0 0.1" rpy="0.1 0.2 0.3"/><axis xyz="0 1 0"/><limit lower="-1" upper="1"/></joint>
<joint name="shoulder" type="revolute"><parent link="rail"/><child link="upper"/>
<origin xyz="0.05 0 0" rpy="0 0.4 0"/><axis xyz="0 0 2"/><limit lower="-3" upper="3"/></joint>
<joint name="elbow" type="continuous"><parent link="upper"/><child link="lower"/>
<origin xyz="0.1 0.02 0"/><axis xyz="1 1 0"/></joint>
<joint name="flange" type="fixed"><parent link="lower"/><child link="tool"/>
<origin xyz="0.05 0 0.03" rpy="3.14159265 0 0"/></joint>
<joint name="jaw" type="prismatic"><parent link="tool"/><child link="finger"/><axis xyz="1 0 0"/></joint>
</robot>"""
NAMES = ["slide", "shoulder", "elbow", "grip"]
QUICK = [*CHANGES, "steps=2", "save_every=2", "evaluation.every=2", "batch=4", "evaluation.windows=4"]


def angles(length: int) -> np.ndarray:
    step = np.arange(length)[:, None]
    return np.concatenate([0.01 * step, 0.05 * step, -0.03 * step, step < length // 2], 1).astype(np.float32)


def joint_set(root, kind="target", names=NAMES):
    def change(columns, episode):
        state = angles(len(columns["action"]))
        after = np.concatenate([state[1:], state[-1:]])
        action = after if kind == "target" else np.concatenate([after[:, :3] - state[:, :3], after[:, 3:]], 1)
        return columns | {"observation.state": list(state), "action": list(action.astype(np.float32))}

    vector = {"dtype": "float32", "shape": [4], "names": names}
    features = {"observation.state": vector, "action": vector}
    return make(root, lengths=(14, 12, 13), columns=change, features=features)


def mapping(path, kind="target"):
    (path.parent / "arm.urdf").write_text(ARM)
    joints = {"joints": {"feature": "observation.state"}}
    joints["gripper"] = {"feature": "observation.state", "take": ["grip"], "open_above": 0.5}
    action = {part: one | {"feature": "action"} for part, one in joints.items()} | {"kind": kind}
    changes = {"state": joints, "action": {"kind": kind} if kind == "next_state" else action}
    return write_mapping(path, changes | {"robot": {"urdf": "arm.urdf", "tip": "tool"}})


def test_the_chain_agrees_with_mujoco(tmp_path):
    compiler = '<mujoco><compiler fusestatic="false" boundmass="1" boundinertia="1"/></mujoco>'
    text = ARM.replace("<link", f"{compiler}<link", 1)
    model = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(model)
    positions = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    (tmp_path / "arm.urdf").write_text(ARM)
    places, turns = load_chain(tmp_path / "arm.urdf", "tool").forward(positions)
    for row, place, turn in zip(positions, places, turns):
        data.qpos[:3] = row
        mujoco.mj_kinematics(model, data)
        body = model.body("tool").id
        np.testing.assert_allclose(data.xpos[body], place, atol=1e-6)
        np.testing.assert_allclose(data.xmat[body].reshape(3, 3), turn.as_matrix(), atol=1e-6)


@pytest.mark.parametrize("kind", ["target", "delta", "next_state"])
def test_joint_actions_give_the_motions_of_the_hand(tmp_path, kind):
    root, rig = joint_set(tmp_path / "set", kind), write_rig(tmp_path / "rig.yaml")
    source = LeRobotSource(root, mapping(tmp_path / "map.yaml", kind), str(rig))
    (episode, *_) = [item for unit in source.units() for item in source.read(unit)]
    places, _ = load_chain(tmp_path / "arm.urdf", "tool").forward(angles(14)[:, :3])
    np.testing.assert_allclose(episode.state[:, :3], places, atol=1e-6)
    moved = episode.action[:-1, :3] * Rig.load("kinova_gen2").action.translation_scale
    np.testing.assert_allclose(moved, np.diff(places, axis=0), atol=1e-5)


def test_joint_angles_from_conversion_to_evaluation(tmp_path, capsys):
    root, rig = joint_set(tmp_path / "source"), write_rig(tmp_path / "rig.yaml")
    words = ["convert", "lerobot", str(root), "--mapping", str(mapping(tmp_path / "map.yaml"))]
    assert main([*words, "--rig", str(rig), "--out", str(tmp_path / "set"), "--workers", "1"]) == 0
    words = ["finetune", "finetune-small", *QUICK, f"data={tmp_path / 'set'}", "init=null"]
    assert main([*words, f"out={tmp_path / 'run'}"]) == 0
    capsys.readouterr()
    words = ["evaluate", "data", "--checkpoint", str(tmp_path / "run"), "--dataset", str(tmp_path / "set")]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1])["windows"] > 0


def test_joints_without_a_urdf_are_refused_as_joints(tmp_path):
    root, rig = joint_set(tmp_path / "set"), str(write_rig(tmp_path / "rig.yaml"))
    path = mapping(tmp_path / "map.yaml")
    path.write_text(path.read_text().replace("robot:", "robots:"))
    with pytest.raises(SourceError, match="robots is unknown, did you mean 'robot'"):
        LeRobotSource(root, path, rig)
    lines = path.read_text().split("robots:")
    path.write_text(lines[0] + "state:" + lines[1].split("state:", 1)[1])
    with pytest.raises(SourceError, match="state.joints needs `robot: {urdf: FILE, tip: LINK}`"):
        LeRobotSource(root, path, rig)


@pytest.mark.parametrize(
    "names",
    [
        ["shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos", "grip"],
        ["joint_1", "joint_2", "joint_3", "g"],
    ],
)
def test_components_named_as_joints_are_no_position(tmp_path, names):
    root, rig = joint_set(tmp_path / "set", names=names), str(write_rig(tmp_path / "rig.yaml"))
    wrong = {"position": {"feature": "observation.state", "take": names[:3]}, "rotation": POSE["rotation"]}
    wrong["gripper"] = {"feature": "observation.state", "take": [3], "open_above": 0.5}
    with pytest.raises(
        SourceError, match=f"{names[0]}, .* are joint positions, not a pose: map them as `joints`"
    ):
        LeRobotSource(root, write_mapping(tmp_path / "map.yaml", {"state": wrong}), rig)


def test_nameless_joint_angles_taken_for_metres_are_found(tmp_path, capsys):
    def change(columns, episode):
        state = np.array(columns["observation.state"])
        state[:, :3] = np.linspace(0.5, 2.5, len(state))[:, None] * [1, -1, 0.7]
        return columns | {"observation.state": list(state), "action": list(state)}

    root = make(tmp_path / "source", columns=change)
    words = ["convert", "lerobot", str(root), "--mapping", str(write_mapping(tmp_path / "map.yaml"))]
    words += [
        "--rig",
        str(write_rig(tmp_path / "rig.yaml")),
        "--out",
        str(tmp_path / "set"),
        "--workers",
        "1",
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "check: 2 episodes whose hand jumps" in said
    assert "% of the positions lie outside the rig's workspace" in said
    assert "check: 2 episodes whose action is the state itself" in said


@pytest.mark.parametrize(
    "change, said",
    [
        (('<axis xyz="0 1 0"/>', '<axis xyz="0 0 0"/>'), "joint 'slide' has an axis of length 0"),
        (('type="revolute"', 'type="floating"'), "joint 'shoulder' is of type 'floating'"),
        (('rpy="0 0.4 0"', 'rpy="0 nan"'), 'rpy="0 nan", expected three numbers'),
        (("</robot>", ""), "is not XML"),
        (('link name="tool"', 'link name="hand"'), "there is no link 'tool'; it has base"),
    ],
)
def test_a_urdf_that_cannot_be_used_is_named(tmp_path, change, said):
    (tmp_path / "arm.urdf").write_text(ARM.replace(*change))
    with pytest.raises(UrdfError, match=said):
        load_chain(tmp_path / "arm.urdf", "tool")
