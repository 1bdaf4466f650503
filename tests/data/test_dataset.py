import json
import multiprocessing
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gr1_core import Rig, images
from gr1_core.data import cache as caches
from gr1_core.data import dataset_writer
from gr1_core.data.cache import Cache
from gr1_core.data.dataset import Dataset, DatasetError

from . import sets

ROLES = ("static", "wrist")


@pytest.fixture
def root(tmp_path):
    sets.demonstrations(tmp_path / "set")
    return tmp_path / "set"


def same_frames(dataset, episodes):
    for role in dataset.roles:
        written = [bytes(frame) for episode in episodes for frame in episode.images[role]]
        assert [bytes(dataset.encoded(role, row)) for row in range(dataset.length)] == written


# What it gives


def test_a_dataset_gives_what_was_written(tmp_path):
    episodes = sets.demonstrations(tmp_path / "set")
    dataset = Dataset(tmp_path / "set")
    assert (dataset.fps, dataset.kind, dataset.roles, dataset.length) == (10, "demonstrations", ROLES, 25)
    assert dataset.episodes["start"].tolist() == [0, 7, 8, 20]
    assert dataset.episodes["end"].tolist() == [7, 8, 20, 25]
    assert [dataset.tasks[task] for task in dataset.task_of] == [episode.task for episode in episodes]
    assert np.array_equal(dataset.state, np.concatenate([episode.state for episode in episodes]))
    assert np.array_equal(dataset.action, np.concatenate([episode.action for episode in episodes]))
    assert dataset.rig == sets.small_rig()
    same_frames(dataset, episodes)
    assert np.array_equal(dataset.image("wrist", 24), images.decode(episodes[3].images["wrist"][4]))


def test_a_dataset_of_videos_has_no_state_action_and_rig(tmp_path):
    episodes = sets.videos(tmp_path / "set")
    dataset = Dataset(tmp_path / "set")
    assert (dataset.kind, dataset.roles, dataset.state, dataset.action, dataset.rig) == (
        "videos",
        ("static",),
        None,
        None,
        None,
    )
    same_frames(dataset, episodes)
    assert dataset.cameras["static"].view(dataset.image("static", 0)).shape == (24, 24, 3)
    with pytest.raises(DatasetError, match="no wrist camera, only static"):
        dataset.encoded("wrist", 0)


def test_frames_are_memory_mapped_and_not_copied(root):
    Dataset(root).encoded("static", 0)
    assert [path.name for path in root.glob(".cache/*/*") if path.suffix != ".lock"] == [
        "observation.images.static.index.npy"
    ]


def test_episodes_in_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_writer, "FILE_BYTES", 10_000)
    episodes = sets.demonstrations(tmp_path / "set")
    assert len(list((tmp_path / "set").glob("data/*/*.parquet"))) > 1
    same_frames(Dataset(tmp_path / "set"), episodes)


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zstd", "use_dictionary": False}, {"compression": "none", "row_group_size": 4}],
)
def test_image_columns_of_other_writers_give_the_same_bytes(tmp_path, options):
    """lerobot's own recorder compresses the image bytes and puts them through a dictionary."""
    episodes = sets.demonstrations(tmp_path / "set")
    for path in (tmp_path / "set").glob("data/*/*.parquet"):
        pq.write_table(pq.read_table(path), path, **options)
    (tmp_path / "set" / "meta" / "sha256sums").unlink()
    same_frames(Dataset(tmp_path / "set"), episodes)


def test_image_columns_of_plain_bytes_and_large_pages_are_found(tmp_path):
    episodes = sets.demonstrations(tmp_path / "set")
    for path in (tmp_path / "set").glob("data/*/*.parquet"):
        table = pq.read_table(path)
        for role in ROLES:
            name = f"observation.images.{role}"
            number = table.schema.get_field_index(name)
            table = table.set_column(
                number, name, table[name].combine_chunks().field("bytes").cast(pa.large_binary())
            )
        pq.write_table(table, path, compression="none", use_dictionary=False, data_page_size=2000)
    same_frames(Dataset(tmp_path / "set"), episodes)


def test_a_dataset_without_gr1_files_can_be_opened_with_a_rig(root):
    for name in ("rig.yaml", "gr1.json", "sources.jsonl", "sha256sums"):
        (root / "meta" / name).unlink()
    with pytest.raises(DatasetError, match="no rig.yaml"):
        Dataset(root)
    assert Dataset(root, rig=sets.small_rig()).kind == "demonstrations"


# What it refuses


def change_info(root, **values):
    path = root / "meta" / "info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_feature(root, name, **values):
    features = json.loads((root / "meta" / "info.json").read_text())["features"]
    features[name] |= values
    change_info(root, features=features)


def change_column(root, name, change):
    path = next(root.glob("data/*/*.parquet"))
    table = pq.read_table(path)
    field = table.schema.field(name)
    values = change(table[name].to_pylist())
    pq.write_table(
        table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type)), path
    )


def replaced(row, value):
    return lambda values: values[:row] + [value] + values[row + 1 :]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def drop_column(root, name):
    path = next(root.glob("data/*/*.parquet"))
    pq.write_table(pq.read_table(path).drop_columns([name]), path)


def other_rig(root, **values):
    raw = sets.small_rig().to_dict() | values
    Rig.from_dict(raw).save(root / "meta" / "rig.yaml")


DATA = "data/chunk-000/file-000.parquet"
DAMAGE = {
    "no info": (lambda root: (root / "meta/info.json").unlink(), r"is no dataset: .*info.json is missing"),
    "info cut off": (
        lambda root: (root / "meta/info.json").write_text('{"fps": 10'),
        r"info.json cannot be used",
    ),
    "older format": (
        lambda root: change_info(root, codebase_version="v2.1"),
        r"codebase_version is 'v2.1', only v3.0",
    ),
    "no episodes": (
        lambda root: shutil.rmtree(root / "meta/episodes"),
        r"meta/episodes holds no Parquet file",
    ),
    "an episode too few": (
        lambda root: change_info(root, total_episodes=5),
        r"lists 4 episodes, meta/info.json says 5",
    ),
    "a frame too few": (
        lambda root: change_info(root, total_frames=26),
        r"lists 25 frames, meta/info.json says 26",
    ),
    "no tasks": (lambda root: (root / "meta/tasks.parquet").unlink(), r"tasks.parquet is missing"),
    "data missing": (lambda root: (root / DATA).unlink(), r"file-000.parquet is missing: copy"),
    "data cut off": (lambda root: truncate(root / DATA), r"file-000.parquet is not a complete Parquet file"),
    "no state": (
        lambda root: drop_column(root, "observation.state"),
        r"file-000.parquet has no column observation.state",
    ),
    "no images": (
        lambda root: drop_column(root, "observation.images.wrist"),
        r"has no column observation.images.wrist",
    ),
    "rows swapped": (
        lambda root: change_column(root, "index", lambda v: v[:3] + [v[4], v[3]] + v[5:]),
        r"row 3 has index 4, expected 3",
    ),
    "other episode": (
        lambda root: change_column(root, "episode_index", replaced(7, 0)),
        r"row 7 has episode_index 0, expected 1",
    ),
    "NaN": (
        lambda root: change_column(root, "action", replaced(9, [0.0] * 6 + [float("nan")])),
        r"file-000.parquet: action of frame 1 of episode 2 is not finite .*leave this episode out",
    ),
    "two tasks": (
        lambda root: change_column(root, "task_index", replaced(10, 0)),
        r"episode 2 has several tasks",
    ),
    "unknown task": (
        lambda root: change_column(root, "task_index", lambda v: [9] * len(v)),
        r"task_index 9 to 9, meta/tasks.parquet has 3",
    ),
    "six numbers": (
        lambda root: change_feature(root, "action", shape=[6]),
        r"action has shape \[6\], expected \[7\]",
    ),
    "videos as mp4": (
        lambda root: change_feature(root, "observation.images.static", dtype="video"),
        r"dtype 'video', only 'image' is read here: `gr1 convert lerobot`",
    ),
    "other size": (
        lambda root: change_feature(root, "observation.images.wrist", shape=[9, 9, 3]),
        r"wrist is 9x9, rig .* has 16x20",
    ),
    "other rate": (
        lambda root: other_rig(root, control_hz=30.0),
        r"10 frames per second, but rig .* control_hz 30",
    ),
    "other kind": (lambda root: (root / "meta/gr1.json").write_text('{"kind": "x"}'), r"kind 'x' is neither"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_when_the_dataset_is_opened(root, name):
    damage, message = DAMAGE[name]
    damage(root)
    with pytest.raises(DatasetError, match=message):
        Dataset(root)


@pytest.mark.parametrize(
    "value, message",
    [
        (
            {"bytes": images.encode_jpeg(np.zeros((8, 8, 3), np.uint8)), "path": None},
            r"frame 11 of .*static is 8x8, meta/info.json says 40x24",
        ),
        (
            {"bytes": b"no image at all, but some bytes", "path": None},
            r"frame 11 of .*static is no image",
        ),
        ({"bytes": None, "path": "frame.png"}, r"frame 11 of .*static holds no image bytes"),
    ],
)
def test_a_frame_that_contradicts_the_metadata_is_named(root, value, message):
    change_column(root, "observation.images.static", replaced(11, value))
    with pytest.raises(DatasetError, match=message):
        Dataset(root).encoded("static", 0)
    assert not list(root.glob(".cache/*/*.npy"))


def test_a_file_that_is_cut_off_after_the_dataset_was_opened_is_named(root):
    dataset = Dataset(root)
    truncate(root / DATA)
    with pytest.raises(DatasetError, match="file-000.parquet is not a complete Parquet file"):
        dataset.encoded("static", 0)


# Caches


def test_a_rewritten_dataset_does_not_use_the_old_cache(tmp_path):
    sets.demonstrations(tmp_path / "set", seed=0)
    Dataset(tmp_path / "set").encoded("static", 0)
    shutil.move(tmp_path / "set" / ".cache", tmp_path / "kept")
    shutil.rmtree(tmp_path / "set")
    episodes = sets.demonstrations(tmp_path / "set", seed=1)
    shutil.move(tmp_path / "kept", tmp_path / "set" / ".cache")
    same_frames(Dataset(tmp_path / "set"), episodes)


def test_the_cache_can_be_in_another_folder(root, tmp_path, monkeypatch):
    monkeypatch.setenv("GR1_CACHE", str(tmp_path / "there"))
    Dataset(root).encoded("static", 0)
    Dataset(root, cache=tmp_path / "here").encoded("static", 0)
    assert not (root / ".cache").exists()
    assert [len(list((tmp_path / name).glob("set-*/*.npy"))) for name in ("there", "here")] == [1, 1]


def test_a_full_disk_is_refused_before_anything_is_written(root, monkeypatch):
    monkeypatch.setattr(
        caches.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 10**7, 10**7)
    )
    with pytest.raises(
        DatasetError, match=r"needs 0.00 GB, 0.01 GB are free there: make room, or set GR1_CACHE"
    ):
        Dataset(root).encoded("static", 0)
    assert not list(root.glob(".cache/*/*.npy*partial"))


def test_a_cache_that_cannot_be_written_is_refused_with_a_remedy(root, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match="set GR1_CACHE to a folder"):
        Dataset(root, cache=tmp_path / "file").encoded("static", 0)


def test_a_failed_or_killed_build_leaves_no_file(root):
    cache = Cache(root)

    with pytest.raises(OSError, match="no space"), cache.creating("thing", 4) as partial:
        partial.write_text("half")
        raise OSError("no space left on device")
    assert {path.name for path in cache.folder.iterdir()} == {"thing.lock"}
    (cache.folder / "thing.17-ab.partial").write_text("half")
    with cache.creating("thing", 5) as partial:
        partial.write_text("whole")
    assert cache.path("thing").read_text() == "whole"
    assert {path.name for path in cache.folder.iterdir()} == {"thing.lock", "thing"}


def _build(root, log, other_is_there, results, slowly):
    cache = Cache(root)
    if not slowly:
        other_is_there.set()
    with cache.creating("figures", 10) as partial:
        if partial is not None:
            with open(log, "a") as file:
                file.write("built\n")
            assert other_is_there.wait(30)
            partial.write_text("content")
    results.put(cache.path("figures").read_text())


def test_of_two_processes_that_start_at_once_one_builds_and_both_read(root, tmp_path):
    context = multiprocessing.get_context("spawn")
    there, results = context.Event(), context.Queue()
    log = tmp_path / "log"
    processes = [
        context.Process(target=_build, args=(root, log, there, results, slowly)) for slowly in (True, False)
    ]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["content", "content"]
    for process in processes:
        process.join(30)
    assert log.read_text() == "built\n"
