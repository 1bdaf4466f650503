"""Bags of other stacks become a rig's episodes through a mapping of their topics."""

import shutil

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from scipy.spatial.transform import Rotation

from gr1_core import Rig, images
from gr1_core.cli import main
from gr1_core.data.convert.sources.rosbag import RosbagSource
from gr1_core.data.convert.sources.source import SourceError

from . import mapped_bag, public_lerobot
from .mapped_bag import make, write_mapping
from .public_lerobot import frame_of, write_rig


@pytest.fixture
def read(tmp_path):
    def reads(root, changes=None, hz=10):
        rig = Rig.load(write_rig(tmp_path / "rig.yaml", hz))
        source = RosbagSource(root, write_mapping(tmp_path / "map.yaml", changes), rig)
        return [item for unit in source.units() for item in source.read(unit)]

    return reads


def frames(episode, role="static"):
    return [round(frame_of(images.decode(data)), 1) for data in episode.images[role]]


@pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda one: one.name)
@pytest.mark.parametrize("compression", [None, CompressionMode.MESSAGE, CompressionMode.FILE])
def test_all_storages_give_the_same_episode(tmp_path, read, storage, compression):
    if storage is StoragePlugin.MCAP and compression is CompressionMode.FILE:
        pytest.skip("rosbag2 compresses an mcap's chunks instead")
    (episode,) = read(make(tmp_path / "bag", storage, compression))
    steps = np.arange(0, 30, 2)
    assert episode.task == "stack the cups" and "problems" not in episode.info
    assert frames(episode) == steps.tolist()
    np.testing.assert_allclose(frames(episode, "wrist"), steps, atol=0.6)
    np.testing.assert_allclose(episode.state[:, 0], 0.4 + 0.002 * steps, atol=1e-6)
    scale = Rig.load("kinova_gen2").action.translation_scale
    np.testing.assert_allclose(episode.action[:-1, 0] * scale, 0.004, atol=1e-6)
    assert episode.state[:, 6].tolist() == [1.0] * 8 + [-1.0] * 7


@pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda one: one.name)
def test_a_recording_split_into_files_is_one_episode(tmp_path, read, storage):
    (whole,) = read(make(tmp_path / "whole", storage))
    (episode,) = read(mapped_bag.make_split(tmp_path / "split", storage))
    assert frames(episode) == frames(whole) and len(frames(episode)) == 15
    np.testing.assert_array_equal(episode.state, whole.state)
    np.testing.assert_array_equal(episode.action, whole.action)


def test_a_ros_1_bag_gives_the_same_episode(tmp_path, read):
    (whole,) = read(make(tmp_path / "whole"))
    (episode,) = read(mapped_bag.make_ros1(tmp_path / "one.bag"))
    assert frames(episode) == frames(whole)
    np.testing.assert_array_equal(episode.state, whole.state)
    np.testing.assert_array_equal(episode.action, whole.action)


@pytest.mark.parametrize("name", ["one.mcap", "one.db3"])
def test_a_single_file_without_metadata_is_a_bag(tmp_path, read, name):
    storage = StoragePlugin.MCAP if name.endswith("mcap") else StoragePlugin.SQLITE3
    folder = make(tmp_path / "bag", storage)
    (tmp_path / "loose").mkdir()
    shutil.move(next(folder.glob("*" + name[3:])), tmp_path / "loose" / name)
    (episode,) = read(tmp_path / "loose")
    assert len(episode.state) == 15


def test_joint_states_by_name_through_the_urdf(tmp_path, read):
    (tmp_path / "arm.urdf").write_text(mapped_bag.URDF)
    joints = {"feature": "/joints", "take": ["position.shoulder", "position.elbow"]}
    state = {"joints": joints, "gripper": mapped_bag.MAPPING["state"]["gripper"]}
    (episode,) = read(make(tmp_path / "bag"), {"state": state, "robot": {"urdf": "arm.urdf", "tip": "tool"}})
    for row, step in enumerate(range(0, 30, 2)):
        shoulder, elbow = (
            Rotation.from_rotvec([0, 0, 0.02 * step]),
            Rotation.from_rotvec([0, 0, -0.01 * step]),
        )
        upper = [0.3, 0, 0.1] + shoulder.apply([0.1, 0, 0])
        place = upper + (shoulder * elbow).apply([0.05, 0, 0.05])
        np.testing.assert_allclose(episode.state[row, :3], place, atol=1e-6)


@pytest.mark.parametrize("encoding", ["bgr8", "rgba8", "bgra8", "mono8"])
def test_image_encodings(tmp_path, read, encoding):
    (episode,) = read(make(tmp_path / "bag", steps=6, encoding=encoding))
    frame_image = images.decode(episode.images["static"][2]).astype(int)
    right = public_lerobot.image(0, 4)
    np.testing.assert_array_equal(frame_image, right[:, :, [0, 0, 0]] if encoding == "mono8" else right)


def test_16_bit_images_are_refused_by_name(tmp_path, read):
    with pytest.raises(SourceError, match="'16UC1' is not supported: more than 8 bits"):
        read(make(tmp_path / "bag", steps=6, encoding="16UC1"))


def test_the_instruction_may_be_a_topic(tmp_path, read):
    changes = {"instruction": None, "instruction_topic": "/task"}
    (episode,) = read(make(tmp_path / "bag", steps=6), changes)
    assert episode.task == "wipe the table"
    with pytest.raises(SourceError, match="a bag has no instruction of its own"):
        read(tmp_path / "bag", {"instruction": None})


def test_a_camera_that_paused_cuts_the_bag_and_is_named(tmp_path, read):
    (episode,) = read(make(tmp_path / "bag", steps=40, gap=range(4, 20)))
    assert frames(episode)[0] == 20 and len(episode.state) == 10
    assert episode.info["problems"][0].startswith("/front/color older than")
    assert episode.info["recorded_steps"] == 20


def test_topics_that_are_not_there_and_damaged_bags_are_named(tmp_path, capsys):
    for number in range(3):
        make(tmp_path / "bags" / f"bag{number}", steps=10)
    path = next((tmp_path / "bags/bag1").glob("*.mcap"))
    path.write_bytes(path.read_bytes()[:300])
    mapping, rig = write_mapping(tmp_path / "map.yaml"), write_rig(tmp_path / "rig.yaml")
    words = ["convert", "bags", str(tmp_path / "bags"), "--mapping", str(mapping), "--workers", "1"]
    assert main([*words, "--rig", str(rig), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "2 episodes" in printed and "skipped: 1, the first is bag1" in printed
    assert main([*words, "--out", str(tmp_path / "other")]) == 1
    assert "--mapping needs --rig" in capsys.readouterr().err
    write_mapping(mapping, {"cameras": {"static": "/nothing", "wrist": "/hand/color/compressed"}})
    assert main([*words, "--rig", str(rig), "--out", str(tmp_path / "other")]) == 1
    assert (
        "no such feature '/nothing'. There are: /front/color (image [48, 64, 3])" in capsys.readouterr().err
    )


def test_git_lfs_pointers_are_named(tmp_path, read):
    folder = make(tmp_path / "bag", steps=4)
    next(folder.glob("*.mcap")).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )
    with pytest.raises(SourceError, match="git lfs pull"):
        read(folder)
