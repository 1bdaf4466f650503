"""LeRobotDatasets as other tools write them: other names, places, rates and fields than lerobot's own.

Each kind was found in a public dataset; docs/results/public_datasets.md lists these.
"""

import json
import shutil

import numpy as np
import pytest
import yaml

from gr1_core import images
from gr1_core.cli import main
from gr1_core.data.convert.sources.lerobot import LeRobotSource
from gr1_core.data.convert.sources.source import SourceError

from .public_lerobot import CAMERAS, TASKS, frame_of, image, make, write_mapping, write_rig, write_video

JOINT_NAMES = ["shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll"]
URDF = """<robot name="arm"><link name="base"/><link name="a"/><link name="tip"/>
<joint name="shoulder_pan" type="revolute"><parent link="base"/><child link="a"/><axis xyz="0 0 1"/>
<limit lower="-3" upper="3" effort="1" velocity="1"/></joint>
<joint name="elbow_flex" type="revolute"><parent link="a"/><child link="tip"/><origin xyz="1 0 0"/>
<axis xyz="0 0 1"/><limit lower="-3" upper="3" effort="1" velocity="1"/></joint></robot>"""


def frames(episode):
    return [round(frame_of(images.decode(data))) for data in episode.images["static"]]


def opened(root, tmp_path, **changes):
    return LeRobotSource(
        root, write_mapping(tmp_path / "map.yaml", changes), write_rig(tmp_path / "rig.yaml")
    )


def change_info(root, **changes):
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    for name, value in changes.items():
        info.pop(name, None) if value is None else info.update({name: value})
    path.write_text(json.dumps(info))


# Names


def test_other_prefixes_than_the_usual_ones(tmp_path, read_lerobot):
    """`state`, `actions` and `image`, without `observation.`."""

    def renamed(columns, _):
        return columns | {"state": columns["observation.state"], "actions": columns["action"]}

    vector = {"dtype": "float32", "shape": [8], "names": None}
    root = make(
        tmp_path / "set",
        columns=renamed,
        features={"state": vector, "actions": vector},
        cameras=("image", "hand_image"),
    )
    changes = {f"state.{part}.feature": "state" for part in ("position", "rotation", "gripper")}
    changes |= {f"action.{part}.feature": "actions" for part in ("position", "rotation", "gripper")}
    changes |= {"cameras.static": "image", "cameras.wrist": "hand_image"}
    episodes, lost = read_lerobot(root, changes=changes)
    assert not lost and frames(episodes[0]) == list(range(12))


@pytest.mark.parametrize(
    "names",
    [
        ["kLeftShoulderPitch", "kLeftElbow", "kLeftWristYaw"],
        [["kLeftShoulderPitch", "kLeftElbow", "kLeftWristYaw"]],
        [["arm1_j1", "arm1_j2"], ["arm1_j3"]],
        {"motors": [["joint_1.pos"], ["joint_2.pos", "joint_3.pos"]]},
    ],
)
def test_joints_are_recognised_however_their_names_are_nested(tmp_path, names):
    flat = ["x"] * 5
    if isinstance(names, dict):
        names = {"motors": [*names["motors"], flat]}
    else:
        names = [[*names[0], *flat]] if len(names) == 1 else [*names, *([flat] if len(names) == 2 else flat)]
    state = {"dtype": "float32", "shape": [8], "names": names}
    root = make(tmp_path / "set", features={"observation.state": state})
    with pytest.raises(SourceError, match="are joint positions, not a pose: map them as `joints`"):
        opened(root, tmp_path)


def joint_mapping(path, state, kind="next_state", action=None, **gripper):
    part = {"joints": state, "gripper": gripper or {"feature": "action", "take": 7, "open_above": 0.5}}
    mapping = {
        "cameras": {"static": CAMERAS[0], "wrist": CAMERAS[1]},
        "robot": {"urdf": "arm.urdf", "tip": "tip"},
        "state": part,
        "action": {"kind": kind} if action is None else {"kind": kind, "joints": action, **part},
    }
    path.write_text(yaml.safe_dump(mapping))
    (path.parent / "arm.urdf").write_text(URDF)
    return path


def turned(columns, _):
    """Servo counts: 2048 at zero, 4096 a turn; the second joint counts the other way."""
    length = len(columns["action"])
    columns["servo_pan"] = np.full(length, 2048 + 1024, np.float32)
    columns["servo_elbow"] = np.full(length, 2048 + 1024, np.float32)
    columns["counts"] = [[2048 + 1024, 2048 + 1024, 7] for _ in range(length)]
    return columns


SCALE = 2 * np.pi / 4096
SCALAR = {"dtype": "float32", "shape": [1], "names": None}
SERVOS = {
    "servo_pan": SCALAR,
    "servo_elbow": SCALAR,
    "counts": {
        "dtype": "float32",
        "shape": [3],
        "names": ["shoulder_pan.pos", "elbow_flex.pos", "gripper.pos"],
    },
}


@pytest.mark.parametrize(
    "joints",
    [
        {"feature": ["servo_pan", "servo_elbow"]},
        {"feature": ["servo_elbow", "servo_pan"], "take": ["servo_pan", "servo_elbow"]},
        {"feature": "counts"},
        {"feature": ["servo_pan", "counts"], "take": [0, 2]},
    ],
    ids=["several features", "by the features' names", "by the chain's names", "a scalar and a vector"],
)
def test_joints_of_several_features_with_offset_and_a_scale_of_each(tmp_path, joints):
    root = make(tmp_path / "set", columns=turned, features=SERVOS)
    mapping = joint_mapping(tmp_path / "map.yaml", joints | {"offset": 2048, "scale": [SCALE, -SCALE]})
    source = LeRobotSource(root, mapping, write_rig(tmp_path / "rig.yaml"))
    (first, *_) = source.read(source.units()[0])
    # A quarter turn to the left, then one to the right: 1 m along y.
    np.testing.assert_allclose(first.state[:, :3], [[0, 1, 0]] * 12, atol=1e-6)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"scale": [1.0]}, r"scale is \[1.0\], expected a finite number, or a list of 2"),
        ({"offset": "half"}, "offset is 'half', expected a finite number, or a list of 2"),
        ({"feature": ["servo_pan", "servo_neck"]}, "no such feature 'servo_neck'"),
        ({"feature": []}, "0 numbers, expected 2"),
    ],
)
def test_wrong_units_and_lists_are_refused(tmp_path, change, said):
    root = make(tmp_path / "set", columns=turned, features=SERVOS)
    joints = {"feature": ["servo_pan", "servo_elbow"], **change}
    with pytest.raises(SourceError, match=said):
        LeRobotSource(root, joint_mapping(tmp_path / "map.yaml", joints), write_rig(tmp_path / "rig.yaml"))


@pytest.mark.parametrize(
    "changes, said, listed, not_listed",
    [
        ({"cameras.static": "action"}, "action is float32, expected image or video", CAMERAS[1], "timestamp"),
        ({"cameras.static": "observation.images.frnt"}, f"did you mean '{CAMERAS[0]}'", CAMERAS[1], "action"),
        ({"state.position.feature": CAMERAS[0]}, "is image, expected numbers", "action", "frame_index"),
        ({"state.position.feature": "observation.pose"}, "no such feature", "observation.state", CAMERAS[0]),
    ],
)
def test_a_wrong_feature_lists_those_of_the_right_kind(tmp_path, changes, said, listed, not_listed):
    with pytest.raises(SourceError, match=said) as error:
        opened(make(tmp_path / "set"), tmp_path, **changes)
    there = str(error.value).partition("There are: ")[2]
    assert listed in there and not_listed not in there


def test_a_dataset_without_camera_says_so(tmp_path):
    root = make(tmp_path / "set", cameras=())
    with pytest.raises(SourceError, match="It has none that is image or video"):
        opened(root, tmp_path)
    with pytest.raises(SourceError, match="it has no camera"):
        LeRobotSource(root)


# Places


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_patterns_of_the_other_version(tmp_path, read_lerobot, version):
    root = make(tmp_path / "set", lengths=(12,), version=version, videos=True)
    patterns = {
        "v2.1": "videos/chunk-{chunk_index:03d}/{video_key}/episode_{file_index:06d}.mp4",
        "v3.0": "videos/{video_key}/chunk-{episode_chunk:03d}/file-{episode_index:03d}.mp4",
    }
    change_info(root, video_path=patterns[version], data_path="data/chunk-{chunk_index:03d}/{file_index}.pq")
    (episode,), lost = read_lerobot(root)
    assert not lost and frames(episode) == list(range(12))


def test_a_pattern_with_an_unknown_place_lists_the_known_ones(tmp_path):
    root = make(tmp_path / "set", version="v2.1", videos=True)
    change_info(root, video_path="videos/{camera}/{episode_index}.mp4")
    with pytest.raises(SourceError, match="KeyError: 'camera'.*video_key, episode_chunk, episode_index"):
        opened(root, tmp_path).units()


@pytest.mark.parametrize(
    "where, promised",
    [("video", "videos"), (f"videos/chunk-000/{CAMERAS[0]}_rgb", CAMERAS[0])],
    ids=["top folder", "camera"],
)
def test_videos_in_a_folder_of_another_name_are_named_with_the_remedy(tmp_path, capsys, where, promised):
    root = make(tmp_path / "set", version="v2.1", videos=True)
    right = root / "videos" if where == "video" else root / "videos/chunk-000" / CAMERAS[0]
    right.rename(root / where)
    words = ["convert", "lerobot", str(root), "--mapping", str(write_mapping(tmp_path / "map.yaml"))]
    words += ["--rig", str(write_rig(tmp_path / "rig.yaml")), "--workers", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert f"it lies in {root / where}: rename that folder to {promised}" in said
    assert "none of 2 can be used" in said and "episode_000000 and 1 more" in said, "one line for one cause"


def test_the_video_of_another_camera_is_not_taken_for_a_missing_one(tmp_path, read_lerobot):
    root = make(tmp_path / "set", version="v2.1", videos=True)
    shutil.rmtree(root / "videos/chunk-000" / CAMERAS[1])
    _, (lost, _) = read_lerobot(root)
    assert "the download is not complete" in lost.reason and "rename" not in lost.reason


def test_a_folder_with_several_datasets_lists_them(tmp_path):
    for name in ("one", "two"):
        make(tmp_path / "all" / name)
    with pytest.raises(SourceError, match=r"did you mean \S*one or \S*two\?"):
        LeRobotSource(tmp_path / "all")


# Descriptions


@pytest.mark.parametrize(
    "absent, said",
    [
        (("codebase_version",), "has no codebase_version, so it is not that of a LeRobotDataset.*it has fps"),
        (("codebase_version", "features"), "has no codebase_version and no features"),
        (("fps",), "has no fps"),
    ],
)
def test_an_info_of_another_tool_is_named_with_what_it_lacks(tmp_path, absent, said):
    root = make(tmp_path / "set")
    change_info(root, **dict.fromkeys(absent))
    with pytest.raises(SourceError, match=said):
        LeRobotSource(root)


def test_an_empty_info_says_so(tmp_path):
    root = make(tmp_path / "set")
    (root / "meta/info.json").write_text("")
    with pytest.raises(SourceError, match="info.json is empty: an unfinished recording or upload"):
        LeRobotSource(root)


def without_task(columns, _):
    del columns["task_index"]
    return columns


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_without_task_index_the_text_of_the_episode_is_taken(tmp_path, read_lerobot, version):
    episodes, lost = read_lerobot(make(tmp_path / "set", version=version, columns=without_task))
    assert not lost and [one.task for one in episodes] == list(TASKS)


def test_without_task_index_two_texts_are_not_chosen_from(tmp_path, read_lerobot):
    def both(rows):
        return [row | {"tasks": list(TASKS)} for row in rows]

    episodes, lost = read_lerobot(make(tmp_path / "set", columns=without_task, episodes=both))
    assert not episodes and "its instruction is unknown" in lost[0].reason


def test_promised_lengths_count_as_lost(tmp_path, capsys):
    root = make(tmp_path / "set", lengths=(12, 10, 40), version="v2.1")
    (root / "data/chunk-000/episode_000002.parquet").unlink()
    words = ["convert", "lerobot", str(root), "--mapping", str(write_mapping(tmp_path / "map.yaml"))]
    words += ["--rig", str(write_rig(tmp_path / "rig.yaml")), "--workers", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 3
    assert "kept 22 of 62 steps" in capsys.readouterr().out


# Times: rows with measured timestamps, videos at the nominal rate


def measured(period, first=0.0):
    def change(columns, _):
        columns["timestamp"] = first + np.arange(len(columns["timestamp"])) * period
        return columns

    return change


@pytest.mark.parametrize("period, first", [(0.054, 0.0), (0.054, 0.03), (0.047, 0.0), (0.0501, 0.0)])
@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_frames_belong_to_rows_where_videos_and_timestamps_run_apart(
    tmp_path, read_lerobot, period, first, version
):
    root = make(
        tmp_path / "set", lengths=(50,), version=version, fps=20, videos=True, columns=measured(period, first)
    )
    (episode,), lost = read_lerobot(root)
    steps = np.arange(len(episode.state)) * 0.1
    rows = np.abs(steps[:, None] - np.arange(50) * period).argmin(1)
    assert not lost and np.abs(np.array(frames(episode)) - rows).max() == 0
    np.testing.assert_allclose(episode.state[:, 0], 0.4 + 0.002 * rows, atol=1e-6)
    said = " ".join(episode.info.get("problems", []))
    assert ("frames are found by number" in said) == (period != 0.0501)


def test_many_holes_are_told_once_with_a_rate_that_bridges_them(tmp_path, read_lerobot):
    def missed(columns, _):
        columns["timestamp"] = np.cumsum([0.1 + 0.1 * (frame in (4, 9, 15)) for frame in range(20)])
        return columns

    root = make(tmp_path / "set", lengths=(20,), columns=missed)
    episodes, lost = read_lerobot(root)
    assert not lost and [len(one.state) for one in episodes] == [4, 5, 6, 5]
    (said,) = episodes[0].info["problems"]
    assert "3 holes, the first from 0.40 s to 0.60 s: it is split there; a rig with a control_hz of 7" in said
    (whole,), _ = read_lerobot(root, hz=7)
    assert "problems" not in whole.info


def test_a_video_that_is_cut_is_not_matched_by_number(tmp_path, read_lerobot):
    """As many frames as rows, but three times as fast: the video holds the first third."""
    root = make(tmp_path / "set", lengths=(30,), version="v2.1", fps=10, videos=True)
    for name in CAMERAS:
        path = root / f"videos/chunk-000/{name}/episode_000000.mp4"
        path.unlink()
        write_video(path, [image(0, frame // 3) for frame in range(30)], 30)
    episodes, (lost,) = read_lerobot(root)
    assert not episodes and "the video ends at 0.97 s" in lost.reason
