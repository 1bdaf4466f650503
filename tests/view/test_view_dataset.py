"""A dataset in the viewer: its images unchanged, the state as a pose, the action as where it leads to."""

import json

import numpy as np
import pytest

from gr1_core.cli import main
from gr1_core.data.dataset import Dataset
from gr1_core.view.recording import euler_pose
from tests.data import sets
from tests.view.rrd import read


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("dataset") / "set"
    sets.demonstrations(root, (7, 4, 12, 5))
    return root


def shown(dataset, tmp_path, *words):
    assert main(["view", str(dataset), "--save", str(tmp_path / "d.rrd"), *words]) == 0
    return read(tmp_path / "d.rrd")


def test_the_first_three_episodes_follow_each_other(dataset, tmp_path, capsys):
    entities, data = shown(dataset, tmp_path), Dataset(dataset)
    assert "the first 3 of 4 episodes" in capsys.readouterr().out
    found = entities["cameras/static"].values("EncodedImage:blob")
    assert [blob for _, blob in found] == [bytes(data.encoded("static", row)) for row in range(23)]
    starts = [0.0, 0.7 + 0.5, 0.7 + 0.4 + 1.0]
    lane = [(at, state) for at, state in entities["lanes/episode"].values("StateChange:state") if state]
    assert [state for _, state in lane] == ["episode 0", "episode 1", "episode 2"]
    assert [at for at, _ in lane] == pytest.approx(starts)
    assert sets.TASKS[1] in entities["instruction"].at(1.3, "TextDocument:text")


def test_state_and_action_are_poses_in_metres(dataset, tmp_path):
    entities, data = shown(dataset, tmp_path, "--episodes", "2"), Dataset(dataset)
    row = int(data.episodes[2]["start"]) + 3
    position, quaternion = euler_pose(data.state[row], data.rig.state.reference)
    np.testing.assert_allclose(data.rig.arm_state(position, quaternion)[:3], data.state[row][:3], atol=1e-6)
    measured = entities["world/measured"].at(0.3, "Transform3D:translation")
    np.testing.assert_allclose(measured, position, atol=1e-6)
    target = entities["world/commanded"].at(0.3, "Transform3D:translation")
    moved = data.action[row][:3] * data.rig.action.translation_scale
    np.testing.assert_allclose(target, position + moved, atol=1e-6)
    speed = entities["speed/commanded"].at(0.3, "Scalars:scalars")
    assert speed == pytest.approx(np.linalg.norm(moved) * data.fps, rel=1e-5)
    closed = 0.5 * (1.0 - data.action[row][6])
    assert entities["gripper/commanded"].at(0.3, "Scalars:scalars") == pytest.approx(closed, rel=1e-5)
    assert [name for name in entities if name.startswith("world/measured/hand/")], "the Kinova's hand"


def test_who_drove_is_a_lane(dataset, tmp_path):
    path = dataset / "meta" / "sources.jsonl"
    before = path.read_text()
    rows = [json.loads(line) for line in before.splitlines()]
    rows[2] |= {"teleoperated": [[2, 5]], "operator": "policy"}
    try:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        lane = shown(dataset, tmp_path, "--episodes", "2")["lanes/driver"].values("StateChange:state")
    finally:
        path.write_text(before)
    found = [(round(at, 1), state) for at, state in lane if state]
    assert found == [(0.0, "policy"), (0.2, "teleop"), (0.5, "policy")]


def test_a_dataset_of_videos_shows_what_it_has(tmp_path):
    generator = np.random.default_rng(1)
    sets.write(
        tmp_path / "set", [sets.episode(generator, 6, "cut the onion", roles=("static",), robot=False)]
    )
    entities = shown(tmp_path / "set", tmp_path)
    assert len(entities["cameras/static"].rows) == 6 and "world/measured" not in entities


@pytest.mark.parametrize(
    "words, said",
    [("9", "has the episodes 0 to 3"), ("1-", "no number"), ("3-1", "episodes 0 to 3"), ("a", "no number")],
)
def test_episodes_that_are_not_there_are_named(dataset, tmp_path, capsys, words, said):
    assert main(["view", str(dataset), "--save", str(tmp_path / "d.rrd"), "--episodes", words]) != 0
    assert said in capsys.readouterr().err and not (tmp_path / "d.rrd").exists()
