"""Other people's LeRobotDatasets become a rig's: through a mapping, or as they are; what does not fit is
named.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gr1_core import images
from gr1_core.cli import main
from gr1_core.data.convert import conversion
from gr1_core.data.convert.sources.calvin import CalvinSource
from gr1_core.data.convert.sources.ego4d import Ego4DSource
from gr1_core.data.convert.sources.lerobot import LeRobotSource
from gr1_core.data.convert.sources.mapping_file import load_mapping
from gr1_core.data.convert.sources.source import Skipped, SourceError
from gr1_core.data.dataset import Dataset
from gr1_core.rig import RigError

from . import calvin_fixture, ego4d_fixture, lerobot_fixture
from .lerobot_fixture import FPS, LENGTHS, MAPPING, TASKS, Motion, make_image, write_mapping


@pytest.fixture(scope="module", params=[False, True], ids=["images", "videos"])
def either(request, tmp_path_factory):
    return lerobot_fixture.make(tmp_path_factory.mktemp("lerobot") / "cups", request.param), request.param


@pytest.fixture
def folder(tmp_path):
    return lerobot_fixture.make(tmp_path / "cups")


@pytest.fixture
def rig(tmp_path):
    lerobot_fixture.rig().save(tmp_path / "rig.yaml")
    return tmp_path / "rig.yaml"


@pytest.fixture
def open_source(tmp_path, rig):
    """root and changes to the mapping -> the source."""

    def opened(root, changes=None, control_hz=FPS):
        lerobot_fixture.rig(control_hz).save(rig)
        return LeRobotSource(root, write_mapping(tmp_path / "mapping.yaml", changes), str(rig))

    return opened


def read(source):
    return [item for unit in source.units() for item in source.read(unit)]


def expected_state(rig, motion, step):
    return rig.state_vector(motion.position[step], motion.turn[step].as_quat(), float(motion.closed[step]))


def test_frames_states_and_motions_are_converted(either, open_source):
    root, videos = either
    source = open_source(root)
    episodes = read(source)
    assert [(episode.name, episode.task) for episode in episodes] == [
        (f"episode_{i:06d}", TASKS[i % 2]) for i in range(3)
    ]
    for number, (episode, length) in enumerate(zip(episodes, LENGTHS)):
        motion = Motion(number, length)
        for step in range(length):
            for camera, role in enumerate(("static", "wrist")):
                difference = np.abs(
                    images.decode(episode.images[role][step]).astype(int) - make_image(number, step, camera)
                )
                assert difference.mean() < 4 if videos else difference.max() == 0, (number, step, role)
            np.testing.assert_allclose(
                episode.state[step], expected_state(source.rig, motion, step), atol=1e-5
            )
        np.testing.assert_allclose(
            episode.action[:, :3] * source.rig.action.translation_scale, motion.move, atol=1e-6
        )
        np.testing.assert_allclose(
            episode.action[:, 3:6] * source.rig.action.rotation_scale, motion.twist, atol=1e-6
        )
        np.testing.assert_array_equal(
            episode.action[:, 6], np.where(np.append(motion.closed[1:], motion.closed[-1]), -1, 1)
        )


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("kind", ["delta", "target", "next_state"])
def test_all_kinds_of_action_give_the_same_motion(folder, open_source, kind, stride):
    """The same motions, given as motions, as the poses to be reached, or by the states alone; at the
    dataset's rate or thinned out.
    """
    pose = {key: value for key, value in MAPPING["state"].items() if key != "gripper"}
    changes = {
        "delta": {},
        "target": {"action": {"kind": "target", **pose, "gripper": MAPPING["action"]["gripper"]}},
        "next_state": {"action": {"kind": "next_state"}},
    }[kind]
    if kind == "target":
        shift_states_into_targets(folder)
        changes["action"]["position"] = {"feature": "target", "take": [0, 1, 2], "scale": 0.001}
        changes["action"]["rotation"] = {"feature": "target", "take": [3, 4, 5, 6], "as": "quaternion_xyzw"}
    source = open_source(folder, changes, control_hz=FPS / stride)
    for number, episode in enumerate(read(source)):
        motion, scale = Motion(number, LENGTHS[number]), source.rig.action
        for step, first in enumerate(range(0, LENGTHS[number] - stride, stride)):
            action, after = episode.action[step], first + stride
            np.testing.assert_allclose(
                action[:3] * scale.translation_scale,
                motion.position[after] - motion.position[first],
                atol=1e-6,
            )
            turn = motion.turn[after] * motion.turn[first].inv()
            np.testing.assert_allclose(action[3:6] * scale.rotation_scale, turn.as_rotvec(), atol=1e-5)
            assert action[6] == (-1 if motion.closed[after] else 1)


def shift_states_into_targets(root):
    """Adds a feature `target`: the state of the next frame."""
    info = json.loads((root / "meta" / "info.json").read_text())
    info["features"]["target"] = info["features"]["observation.state"]
    (root / "meta" / "info.json").write_text(json.dumps(info))
    for path in root.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        states, episodes = table["observation.state"].to_pylist(), table["episode_index"].to_pylist()
        after = [
            states[i + 1] if i + 1 < len(states) and episodes[i + 1] == episodes[i] else states[i]
            for i in range(len(states))
        ]
        pq.write_table(table.append_column("target", [after]), path)


def test_a_faster_dataset_keeps_the_frames_at_the_rigs_rate(either, open_source):
    root, videos = either
    source = open_source(root, control_hz=FPS / 4)
    assert source.fps == FPS // 4
    episodes = read(source)
    assert [len(episode.state) for episode in episodes] == [4, 3, 3]
    for number, episode in enumerate(episodes):
        motion = Motion(number, LENGTHS[number])
        for step, first in enumerate(range(0, LENGTHS[number], 4)):
            shown = images.decode(episode.images["static"][step]).astype(int)
            assert np.abs(shown - make_image(number, first, 0)).mean() < 4
            np.testing.assert_allclose(
                episode.state[step], expected_state(source.rig, motion, first), atol=1e-5
            )


def test_calvins_own_action_survives_a_mapping(tmp_path):
    """Differences of Euler angles in metres and radians, through a mapping: the numbers of the CALVIN
    converter.
    """
    calvin = CalvinSource(calvin_fixture.make(tmp_path))
    conversion.convert(calvin, tmp_path / "calvin", workers=1, progress=False)
    mapping = {
        "cameras": {"static": "observation.images.static", "wrist": "observation.images.wrist"},
        "state": {
            "position": {"feature": "observation.state", "take": ["x", "y", "z"]},
            "rotation": {"feature": "observation.state", "take": ["rx", "ry", "rz"], "as": "euler_xyz"},
            "gripper": {"feature": "observation.state", "take": "gripper", "open_above": 0},
        },
        "action": {
            "kind": "delta",
            "position": {"feature": "action", "take": ["dx", "dy", "dz"], "scale": 0.02},
            "rotation": {
                "feature": "action",
                "take": ["drx", "dry", "drz"],
                "as": "euler_difference",
                "scale": 0.05,
            },
            "gripper": {"feature": "action", "take": "gripper", "open_above": 0},
        },
    }
    (tmp_path / "mapping.yaml").write_text(json.dumps(mapping))
    original = read(LeRobotSource(tmp_path / "calvin"))
    mapped = read(LeRobotSource(tmp_path / "calvin", tmp_path / "mapping.yaml", "calvin"))
    assert len(original) == len(mapped) == 6
    for ours, theirs in zip(original, mapped):
        np.testing.assert_allclose(theirs.state, ours.state, atol=1e-6)
        np.testing.assert_allclose(theirs.action, ours.action, atol=2e-5)
        assert theirs.images == ours.images


def test_a_dataset_of_videos_is_passed_on_unchanged(tmp_path):
    conversion.convert(Ego4DSource(ego4d_fixture.make(tmp_path)), tmp_path / "set", workers=1, progress=False)
    source = LeRobotSource(tmp_path / "set")
    assert (source.kind, source.fps, source.rig, source.shapes) == ("videos", 3, None, {"static": (224, 224)})
    original, episodes = Dataset(tmp_path / "set"), read(source)
    assert [episode.task for episode in episodes] == original.tasks
    assert b"".join(episodes[-1].images["static"]) == b"".join(
        bytes(original.encoded("static", row)) for row in range(50, 60)
    )


def test_an_episode_is_split_where_its_instruction_changes(tmp_path, open_source):
    root = lerobot_fixture.make(
        tmp_path / "split", task_of=lambda episode, step: int(episode == 0 and step >= 5)
    )
    episodes = read(open_source(root))
    assert [(episode.name, episode.task, len(episode.state)) for episode in episodes[:2]] == [
        ("episode_000000_0", TASKS[0], 5),
        ("episode_000000_1", TASKS[1], 9),
    ]
    assert images.decode(episodes[1].images["static"][0])[0, 0, 0] == make_image(0, 5, 0)[0, 0, 0]


def test_the_mapping_in_the_documentation_is_valid(folder, open_source, tmp_path):
    pages = Path(__file__).parents[2] / "docs" / "how-to" / "convert_datasets.md"
    (tmp_path / "cups.yaml").write_text(re.search(r"```yaml\n(.*?)```", pages.read_text(), re.DOTALL)[1])
    features = open_source(folder).features
    vector = {"dtype": "float32", "shape": [8], "names": ["x", "y", "z", "qx", "qy", "qz", "qw", "jaw"]}
    mapping = load_mapping(
        tmp_path / "cups.yaml", features | {"observation.state": vector, "action": vector | {"names": None}}
    )
    assert mapping.kind == "target" and mapping.state["gripper"].take == mapping.action["gripper"].take == (
        7,
    )


WRONG = {
    "an unknown feature": (
        {"cameras.static": "observation.images.top"},
        r"no such feature 'observation.images.top'.*observation.images.front",
    ),
    "a vector as camera": (
        {"cameras.wrist": "action"},
        r"cameras.wrist: action is float32, expected image or video.*hand \(image \[48, 64, 3\]\)",
    ),
    "an unknown component": (
        {"state.position.take": ["x", "y", "height"]},
        r"no component 'height'; it has x, y, z, qx",
    ),
    "a component out of range": ({"action.rotation.take": [4, 5, 7]}, "no component 7"),
    "too few components": ({"state.rotation.take": [3, 4, 5]}, "state.rotation: 3 numbers, expected 4"),
    "an unknown rotation": (
        {"state.rotation.as": "quaternion"},
        "state.rotation.as is 'quaternion', expected one of euler_xyz, quaternion_xyzw, quaternion_wxyz",
    ),
    "a form that is a list": (
        {"state.rotation.as": ["quaternion_xyzw"]},
        r"state.rotation.as is \['quaternion_xyzw'\], expected one of",
    ),
    "a kind that is a list": ({"action.kind": ["delta"]}, r"action.kind is \['delta'\], expected delta"),
    "a motion as orientation": (
        {"state.rotation.as": "euler_difference"},
        "state.rotation.as is 'euler_difference', expected one of euler_xyz",
    ),
    "an unknown kind": (
        {"action.kind": "absolute"},
        "action.kind is 'absolute', expected delta .*target .*next_state",
    ),
    "a misspelt field": (
        {"state.position.scales": 1.0},
        "state.position.scales is unknown, did you mean 'scale'",
    ),
    "no threshold": ({"state.gripper.open_above": None}, "state.gripper: say when the gripper is open"),
    "two thresholds": ({"state.gripper.open_below": 1.0}, "with one of open_above and open_below"),
    "a scale that is no number": (
        {"state.position.scale": "mm"},
        "state.position.scale is 'mm', expected a finite number",
    ),
    "no action": ({"action": None}, "state and action come together"),
    "no wrist camera": ({"cameras.wrist": None}, "cameras.wrist is missing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_mapping_is_refused_by_name(folder, open_source, case):
    changes, message = WRONG[case]
    with pytest.raises(SourceError, match=message):
        open_source(folder, changes)


def test_without_mapping_foreign_names_are_listed(folder, rig):
    with pytest.raises(
        SourceError,
        match=r"--mapping.*observation.images.front \(image \[48, 64, 3\]\).*action \(float32 \[7\]\)",
    ):
        LeRobotSource(folder, rig_name=str(rig))


def test_a_rig_that_does_not_fit_is_refused(folder, tmp_path, open_source):
    mapping = write_mapping(tmp_path / "mapping.yaml")
    with pytest.raises(SourceError, match="20 frames per second, rig 'calvin' is at 30"):
        LeRobotSource(folder, mapping, "calvin")
    with pytest.raises(
        SourceError,
        match="observation.images.front is 64x48, rig 'kinova_gen2' has 640x360 for the static camera",
    ):
        LeRobotSource(folder, mapping, "kinova_gen2")
    with pytest.raises(SourceError, match="no meta/rig.yaml: give the rig"):
        LeRobotSource(folder, mapping)
    with pytest.raises(RigError, match="no rig 'franka'"):
        LeRobotSource(folder, mapping, "franka")


def test_other_versions_are_refused_with_the_remedy(folder, open_source):
    path = folder / "meta" / "info.json"
    path.write_text(path.read_text().replace('"v3.0"', '"v1.6"'))
    with pytest.raises(SourceError, match=r"is a LeRobotDataset v1.6 .*expected one of v2.0, v2.1, v3.0"):
        open_source(folder)


def test_the_right_folder_is_suggested(folder):
    with pytest.raises(SourceError, match=r"did you mean .*cups\?"):
        LeRobotSource(folder.parent)
    with pytest.raises(SourceError, match="has no meta/info.json: expected"):
        LeRobotSource(folder / "data")


def skipped(source):
    """What is left out: episodes, and whole units."""
    found = []
    for unit in source.units():
        try:
            found += [item for item in source.read(unit) if isinstance(item, Skipped)]
        except SourceError as error:
            found.append(Skipped(unit.key, str(error)))
    return found


def test_a_missing_or_truncated_data_file_is_named(folder, open_source):
    source = open_source(folder)
    path = folder / "data/chunk-000/file-001.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    lost = skipped(source)
    assert [item.name for item in lost] == ["episode_000002"]
    assert "file-001.parquet: damaged" in lost[0].reason
    path.unlink()
    assert "file-001.parquet is missing" in skipped(open_source(folder))[0].reason


def test_a_data_file_without_its_last_rows_is_named(folder, open_source):
    path = folder / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path).slice(0, 20), path)
    first, second, _ = read(open_source(folder))
    assert "problems" not in first.info and len(second.state) == 6
    assert second.info["problems"] == ["meta promises 9 frames, the data files hold 6"]


def test_rows_are_found_where_the_index_does_not_say(folder, open_source):
    path = folder / "data/chunk-000/file-000.parquet"
    expected = read(open_source(folder))
    table = pq.read_table(path)
    pq.write_table(
        pa.concat_tables([table.slice(14), table.slice(0, 14).take(list(range(13, -1, -1)))]), path
    )
    for found, right in zip(read(open_source(folder)), expected, strict=True):
        assert found.images == right.images
        np.testing.assert_array_equal(found.state, right.state)


def test_images_of_another_size_and_values_that_are_not_finite_are_named(folder, open_source):
    path = folder / "data/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[3]["observation.images.hand"]["bytes"] = images.encode_png(np.zeros((48, 48, 3), np.uint8))
    rows[20]["observation.state"][1] = float("nan")
    schema = pq.read_schema(path)
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    first, second = skipped(open_source(folder))
    assert "observation.images.hand: frame 3 is 48x48 as people see it, expected 64x48" in first.reason
    assert second.name == "episode_000001" and "observation.state[1] is nan at frame 6" in second.reason


def test_a_missing_or_damaged_video_is_named(tmp_path, open_source):
    root = lerobot_fixture.make(tmp_path / "videos", videos=True)
    path = root / "videos/observation.images.hand/chunk-000/file-000.mp4"
    shutil.move(path, tmp_path / "hand.mp4")
    assert all(f"{path} is missing" in item.reason for item in skipped(open_source(root)))
    path.write_bytes((tmp_path / "hand.mp4").read_bytes()[:400])
    assert [("cannot be opened" in item.reason) for item in skipped(open_source(root))] == [True] * 3


def test_a_task_without_text_is_named(tmp_path, open_source):
    root = lerobot_fixture.make(tmp_path / "silent", task_of=lambda episode, step: 7 if episode == 1 else 0)
    lost = skipped(open_source(root))
    assert [item.name for item in lost] == [
        "episode_000001"
    ] and "frame 0 has task 7, which has no text" in lost[0].reason


def test_the_command_writes_a_dataset_to_train_on(folder, tmp_path, rig):
    mapping = write_mapping(tmp_path / "mapping.yaml")
    command = [
        "convert",
        "lerobot",
        str(folder),
        "--mapping",
        str(mapping),
        "--rig",
        str(rig),
        "--out",
        str(tmp_path / "set"),
        "--workers",
        "1",
    ]
    assert main(command) == 0
    written = Dataset(tmp_path / "set")
    assert (written.kind, written.fps, written.length, written.tasks) == (
        "demonstrations",
        FPS,
        sum(LENGTHS),
        list(TASKS),
    )
    np.testing.assert_array_equal(written.image("wrist", 16), make_image(1, 2, 1))
