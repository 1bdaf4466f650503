"""The dataset on the disk is a LeRobotDataset v3.0, readable without our own reader."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pyarrow.parquet as pq
import pytest

from gr1_core import images
from gr1_core.data import dataset_writer, stats
from gr1_core.data.dataset_writer import DatasetWriter
from tests.data.synthetic import SHAPES, demonstration, files, make_image, tiny_rig

META = {"kind": "demonstrations", "source": "test"}
TASKS = ("lift the cup", "öffne die Schublade", "lift the cup")


def written(root, episodes):
    writer = DatasetWriter(root, 10, SHAPES, tiny_rig(), META)
    for episode in episodes:
        writer.add_episode(episode)
    writer.close()
    return root


def three():
    return [demonstration(f"e{index}", index, 10 + index, task) for index, task in enumerate(TASKS)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return written(tmp_path_factory.mktemp("writer") / "set", three())


def test_info_describes_the_dataset(root):
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["fps"] == 10 and info["robot_type"] == "kinova_gen2"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 33, 2)
    assert info["splits"] == {"train": "0:3"}
    feature = {"dtype": "image", "shape": [36, 64, 3], "names": ["height", "width", "channels"]}
    assert info["features"]["observation.images.static"] == feature
    assert info["features"]["action"]["names"] == ["dx", "dy", "dz", "drx", "dry", "drz", "gripper"]


def test_frames_states_and_counters_are_the_episodes(root):
    table = pq.read_table(root / "data/chunk-000/file-000.parquet")
    assert set(table.column_names) == set(json.loads((root / "meta/info.json").read_text())["features"])
    rows, at = table.to_pylist(), 0
    for number, episode in enumerate(three()):
        for step in range(len(episode.state)):
            row = rows[at]
            for role, encoded in episode.images.items():
                assert row[f"observation.images.{role}"]["bytes"] == encoded[step]
            assert np.float32(row["observation.state"]).tobytes() == episode.state[step].tobytes()
            assert np.float32(row["action"]).tobytes() == episode.action[step].tobytes()
            assert (row["index"], row["episode_index"], row["frame_index"], row["task_index"]) == (
                at,
                number,
                step,
                number % 2,
            )
            assert row["timestamp"] == np.float32(step / 10)
            at += 1


def test_each_episode_is_one_row_group_with_uncompressed_images(root):
    file = pq.ParquetFile(root / "data/chunk-000/file-000.parquet")
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [10, 11, 12]
    for number in range(file.metadata.num_columns):
        column = file.metadata.row_group(0).column(number)
        assert column.compression == "UNCOMPRESSED" and not column.has_dictionary_page
    assert (root / "data/chunk-000/file-000.parquet").read_bytes().count(three()[0].images["static"][3]) == 1


def test_the_schema_holds_what_the_datasets_library_needs(root):
    schema = pq.read_schema(root / "data/chunk-000/file-000.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["observation.images.wrist"] == {"_type": "Image"}
    assert features["action"] == {
        "feature": {"dtype": "float32", "_type": "Value"},
        "length": 7,
        "_type": "List",
    }
    assert features["index"] == {"dtype": "int64", "_type": "Value"}


def test_instructions_are_the_index_of_a_pandas_table(root):
    table = pq.read_table(root / "meta/tasks.parquet")
    assert table["task_index"].to_pylist() == [0, 1]
    assert table["__index_level_0__"].to_pylist() == ["lift the cup", "öffne die Schublade"]
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]


def test_episodes_know_their_place_and_their_statistics(root):
    rows = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    places = [(row["dataset_from_index"], row["dataset_to_index"], row["length"]) for row in rows]
    assert places == [(0, 10, 10), (10, 21, 11), (21, 33, 12)]
    assert [row["tasks"] for row in rows] == [[task] for task in TASKS]
    for row, episode in zip(rows, three()):
        np.testing.assert_allclose(row["stats/action/mean"], episode.action.astype(np.float64).mean(0))
        assert np.shape(row["stats/observation.images.wrist/q50"]) == (3, 1, 1)


def test_totals_are_those_of_all_frames_together(root):
    total = json.loads((root / "meta/stats.json").read_text())
    action = np.concatenate([episode.action for episode in three()]).astype(np.float64)
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(total["action"][name], getattr(action, name)(0), rtol=1e-9)
    assert total["action"]["count"] == [33]
    assert set(total["observation.state"]) == set(stats.NAMES)
    pixels = (
        np.concatenate(
            [images.decode(data).reshape(-1, 3) for episode in three() for data in episode.images["wrist"]]
        )
        / 255
    )
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(
            np.ravel(total["observation.images.wrist"][name]), getattr(pixels, name)(0), rtol=1e-9
        )


def test_statistics_of_many_frames_come_from_a_sample():
    assert stats.sampled_frames(5).tolist() == [0, 1, 2, 3, 4]
    assert (
        len(stats.sampled_frames(100)),
        len(stats.sampled_frames(400)),
        len(stats.sampled_frames(2000)),
    ) == (100, 100, 299)
    assert stats.sampled_frames(2000)[[0, -1]].tolist() == [0, 1999]


def test_quantiles_of_images_are_those_of_their_pixels():
    frame = make_image(3, (40, 60))
    found = stats.image_statistics([images.encode_png(frame)])
    for name, share in stats.QUANTILES.items():
        expected = np.quantile(frame.reshape(-1, 3) / 255, share, axis=0)
        np.testing.assert_allclose(np.ravel(found[name]), expected, atol=1 / 255)


def test_a_full_file_is_followed_by_the_next_and_no_episode_is_split(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_writer, "FILE_BYTES", sum(map(len, three()[0].images["static"])) * 2)
    monkeypatch.setattr(dataset_writer, "_FILES_PER_CHUNK", 2)
    root = written(tmp_path / "set", three())
    rows = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(row["data/chunk_index"], row["data/file_index"]) for row in rows] == [(0, 0), (0, 1), (1, 0)]
    for row in rows:
        path = root / f"data/chunk-{row['data/chunk_index']:03d}/file-{row['data/file_index']:03d}.parquet"
        index = pq.read_table(path)["index"].to_pylist()
        assert index == list(range(row["dataset_from_index"], row["dataset_to_index"]))


def test_the_checksums_are_those_of_sha256sum(root):
    assert subprocess.run(["sha256sum", "--quiet", "--check", "meta/sha256sums"], cwd=root).returncode == 0
    listed = {line.split("  ")[1] for line in (root / "meta/sha256sums").read_text().splitlines()}
    assert listed == set(files(root)) - {"meta/sha256sums"}


def test_the_same_episodes_give_the_same_bytes(root, tmp_path):
    assert files(written(tmp_path / "again", three())) == files(root)


def test_a_dataset_is_incomplete_until_it_is_closed(tmp_path):
    writer = DatasetWriter(tmp_path / "set", 10, SHAPES, tiny_rig(), META)
    writer.add_episode(three()[0])
    assert not (tmp_path / "set/meta/info.json").exists()
