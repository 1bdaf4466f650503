"""LeRobotDatasets as public ones are: what their metadata says wrong, other times, other frame_images, other
numbers.
"""

import json
import re

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gr1_core import images
from gr1_core.cli import main
from gr1_core.data.convert.sources.source import SourceError
from gr1_core.rig import Rig

from . import public_lerobot
from .public_lerobot import CAMERAS, frame_of, make, write_mapping, write_rig, write_video


def frames(episode, role="static"):
    return [round(frame_of(images.decode(data)), 1) for data in episode.images[role]]


# Derived metadata is not believed over the data.


@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v3.0"])
@pytest.mark.parametrize("videos", [False, True], ids=["images", "videos"])
def test_all_versions_give_the_same_episodes(tmp_path, read_lerobot, version, videos):
    episodes, lost = read_lerobot(make(tmp_path / "set", version=version, videos=videos))
    assert not lost and [one.task for one in episodes] == list(public_lerobot.TASKS)
    for one, length in zip(episodes, (12, 10), strict=True):
        np.testing.assert_allclose(frames(one), np.arange(length), atol=0.6)
        np.testing.assert_allclose(one.state[:, 0], 0.4 + 0.002 * np.arange(length), atol=1e-6)


def wrong_file(rows):
    rows[1]["data/file_index"] = 7
    return rows


def no_index(rows):
    return [row | {"dataset_from_index": 0, "dataset_to_index": 1} for row in rows]


def not_listed(rows):
    return rows[:1]


@pytest.mark.parametrize("change", [wrong_file, no_index, not_listed])
def test_rows_are_found_whatever_the_list_of_episodes_says(tmp_path, read_lerobot, change):
    episodes, lost = read_lerobot(make(tmp_path / "set", episodes=change, files=[0, 1]))
    assert not lost and [len(one.state) for one in episodes] == [12, 10]


def test_an_episode_without_a_place_in_the_videos_is_skipped_by_name(tmp_path, read_lerobot):
    episodes, (lost,) = read_lerobot(make(tmp_path / "set", videos=True, episodes=not_listed))
    assert len(episodes) == 1 and lost.name == "episode_000001"
    assert "not listed in meta/episodes" in lost.reason


def test_promised_episodes_that_are_nowhere_are_counted(tmp_path, read_lerobot):
    episodes, lost = read_lerobot(make(tmp_path / "set", info={"total_episodes": 4}))
    assert len(episodes) == 2 and [item.name for item in lost] == ["episode_000002", "episode_000003"]
    assert "meta/info.json counts 4 episodes" in lost[0].reason


@pytest.mark.parametrize(
    "camera_names, shape",
    [(None, (3, 48, 64)), (("channels", "height", "width"), (3, 48, 64)), (None, (48, 64, 3))],
)
def test_channels_may_come_first_and_names_be_missing(tmp_path, read_lerobot, camera_names, shape):
    episodes, lost = read_lerobot(make(tmp_path / "set", names=camera_names, shape=shape))
    assert not lost and frames(episodes[0])[5] == 5


def test_one_missing_film_costs_its_episode_only(tmp_path, read_lerobot):
    root = make(tmp_path / "set", version="v2.1", videos=True)
    (root / f"videos/chunk-000/{CAMERAS[1]}/episode_000000.mp4").unlink()
    episodes, (lost,) = read_lerobot(root)
    assert len(episodes) == 1 and lost.name == "episode_000000" and "is missing" in lost.reason


def damaged(kind):
    def change(columns, episode):
        if episode == 0:
            return columns
        if kind == "cut image":
            columns[CAMERAS[0]][3]["bytes"] = columns[CAMERAS[0]][3]["bytes"][:20]
        elif kind == "no image":
            columns[CAMERAS[0]][3] = {"bytes": None, "path": None}
        elif kind == "no task":
            columns["task_index"] = [None, *columns["task_index"][1:].tolist()]
        elif kind == "time":
            columns["timestamp"] = columns["timestamp"][::-1].copy()
        elif kind == "twice":
            columns["frame_index"] = np.minimum(columns["frame_index"], 5)
        elif kind == "inner null":
            columns["action"] = [[None] + list(row[1:]) for row in columns["action"]]
        return columns

    return change


@pytest.mark.parametrize(
    "kind, said",
    [
        ("cut image", ""),
        ("no image", "frame 3 is not embedded"),
        ("no task", "task_index is null at frame 0"),
        ("time", "timestamp is .* times must rise"),
        ("twice", "frame_index 5 is there twice"),
        ("inner null", r"action\[0\] is null at frame 0"),
    ],
)
def test_damage_in_one_episode_costs_one_episode(tmp_path, kind, said, capsys):
    root = make(
        tmp_path / "set", lengths=(12, 10, 11), columns=lambda c, e: damaged(kind)(c, e) if e == 1 else c
    )
    mapping, rig = write_mapping(tmp_path / "map.yaml"), write_rig(tmp_path / "rig.yaml")
    words = ["convert", "lerobot", str(root), "--mapping", str(mapping), "--rig", str(rig)]
    assert main([*words, "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "2 episodes" in printed and "skipped: 1, the first is episode_000001" in printed
    (entry,) = json.loads((tmp_path / "out/meta/gr1.json").read_text())["skipped"]
    assert re.search(said, entry["reason"])


# Times are times.


@pytest.mark.parametrize(
    "fps, hz, step", [(30, 20, 1.5), (15, 10, 1.5), (30, 12, 2.5), (25, 10, 2.5), (12.5, 10, 1.25)]
)
@pytest.mark.parametrize("videos", [False, True], ids=["images", "videos"])
def test_rates_that_do_not_divide_are_met_by_the_nearest_frame(tmp_path, read_lerobot, fps, hz, step, videos):
    (episode,), lost = read_lerobot(make(tmp_path / "set", lengths=(40,), fps=fps, videos=videos), hz=hz)
    wanted = np.arange(len(episode.state)) * step
    assert not lost and len(wanted) == int(39 / step + 0.01) + 1
    np.testing.assert_allclose(frames(episode), wanted, atol=0.5 + 0.3)
    moved = episode.action[:-2, 0] * Rig.load("kinova_gen2").action.translation_scale
    np.testing.assert_allclose(moved, 0.002 * step, atol=1e-5, err_msg="the motion of one period")


def test_29_97_is_written_at_30(tmp_path, read_lerobot):
    (first, second), lost = read_lerobot(
        make(tmp_path / "set", lengths=(40, 50), fps=29.97, videos=True), hz=30
    )
    assert not lost
    np.testing.assert_allclose(frames(first), np.arange(40), atol=0.8)
    np.testing.assert_allclose(frames(second)[:49], np.arange(49), atol=0.8)


@pytest.mark.parametrize(
    "fps, said", [(0.5, "0.5 frames per second"), (8, "8 frames per second"), (10.3, "10.3")]
)
def test_rates_that_cannot_be_met_are_refused(tmp_path, read_lerobot, fps, said):
    root = make(tmp_path / "set", fps=fps)
    with pytest.raises(SourceError, match=said):
        read_lerobot(root, hz=10 if fps != 10.3 else 11)


def test_a_hole_in_the_timestamps_splits_the_episode_and_is_named(tmp_path, read_lerobot):
    times = np.array([0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15], np.float32) / 10
    root = make(tmp_path / "set", lengths=(12,), columns=lambda c, e: c | {"timestamp": times})
    (before, after), lost = read_lerobot(root)
    assert not lost and (len(before.state), len(after.state)) == (5, 7)
    assert before.info["problems"] == ["its timestamps have a hole from 0.40 s to 0.90 s: it is split there"]
    assert frames(after)[0] == 5


def test_jittered_timestamps_keep_each_row(tmp_path, read_lerobot):
    times = (np.arange(12) / 10 + 0.02 * (-1) ** np.arange(12)).astype(np.float32)
    (episode,), _ = read_lerobot(
        make(tmp_path / "set", lengths=(12,), columns=lambda c, e: c | {"timestamp": times})
    )
    assert frames(episode) == list(range(12))


def write_videos(root, times):
    for camera in CAMERAS:
        frame_images = [public_lerobot.image(0, round(10 * at)) for at in times]
        write_video(root / f"videos/{camera}/chunk-000/file-000.mp4", frame_images, 10, times)
    return root


def test_films_of_variable_rate_are_met_by_time(tmp_path, read_lerobot):
    times = np.sort(np.concatenate([np.arange(12) / 10 + 0.01, np.arange(12) / 10 + 0.045]))
    root = make(tmp_path / "set", lengths=(12,), videos=True)
    for camera in CAMERAS:
        frame_images = [public_lerobot.image(0, int(10 * at + 1e-6)) for at in times]
        write_video(root / f"videos/{camera}/chunk-000/file-000.mp4", frame_images, 10, times)
    (episode,), lost = read_lerobot(root)
    np.testing.assert_allclose(frames(episode), np.arange(12), atol=0.6)


@pytest.mark.parametrize(
    "times, said",
    [
        ([0, 0.1, 0.2, 0.3, 0.9, 1.0, 1.1], "has a hole from 0.30 s to 0.90 s"),
        ([0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1], "the video begins at 0.50 s"),
        ([0, 0.1, 0.2, 0.3, 0.4], "the video ends at 0.40 s, it is truncated"),
    ],
)
def test_what_a_film_lacks_is_named(tmp_path, read_lerobot, times, said):
    root = write_videos(make(tmp_path / "set", lengths=(12,), videos=True), times)
    episodes, (lost,) = read_lerobot(root)
    assert not episodes and said in lost.reason


# Images are what people see.


def webp(quality):
    return lambda frame_image: cv2.imencode(
        ".webp", cv2.cvtColor(frame_image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality]
    )[1].tobytes()


@pytest.mark.parametrize(
    "quality, head", [(90, b"\xff\xd8\xff"), (101, b"\x89PNG")], ids=["lossy", "lossless"]
)
def test_webp_is_taken(tmp_path, read_lerobot, quality, head):
    (first, _), lost = read_lerobot(make(tmp_path / "set", encode=webp(quality)))
    assert not lost and first.images["static"][0].startswith(head)
    np.testing.assert_allclose(frames(first), np.arange(12), atol=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_images_are_refused_by_name(tmp_path, read_lerobot, channels):
    def deep(frame_image):
        wide = frame_image.astype(np.uint16) * 257
        return cv2.imencode(".png", wide if channels == 3 else wide[:, :, 0])[1].tobytes()

    episodes, lost = read_lerobot(make(tmp_path / "set", encode=deep))
    assert not episodes and "16 bits per channel" in lost[0].reason


def exif(orientation):
    """JPEG with an EXIF header that asks viewers to turn it."""
    header = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"
    header += bytes([orientation]) + b"\x00\x00\x00\x00\x00\x00"
    block = b"\xff\xe1" + (len(header) + 2).to_bytes(2, "big") + header
    return lambda frame_image: (lambda data: data[:2] + block + data[2:])(images.encode_jpeg(frame_image))


def test_a_jpeg_is_turned_as_its_exif_header_says(tmp_path, read_lerobot):
    (first, _), lost = read_lerobot(make(tmp_path / "set", encode=exif(3)))
    frame_image = images.decode(first.images["static"][0]).astype(int)
    assert not lost and frame_image[-6:, -6:, 0].mean() > 200 > frame_image[:6, :6, 0].mean(), "upside down"
    (upright, _), _ = read_lerobot(make(tmp_path / "plain", encode=exif(1)))
    assert images.decode(upright.images["static"][0])[:6, :6, 0].mean() > 200


def test_a_crop_box_and_another_size(tmp_path, read_lerobot):
    root = make(tmp_path / "set", size=(96, 160), shape=(96, 160, 3))
    changes = {
        "cameras.static": {"feature": CAMERAS[0], "crop": [0, 0, 128, 96], "resize": True},
        "cameras.wrist": {"feature": CAMERAS[1], "crop": [96, 48, 64, 48]},
    }
    (first, _), lost = read_lerobot(root, changes)
    sizes = [images.size(first.images[role][0]) for role in ("static", "wrist")]
    assert not lost and sizes == [(48, 64), (48, 64)]
    assert images.decode(first.images["static"][0])[:4, :4, 0].mean() > 200 and frames(first)[7] == 7
    with pytest.raises(SourceError, match=r"would distort it: cut it first, e.g. crop: \[16, 0, 128, 96\]"):
        read_lerobot(root, {"cameras.static": {"feature": CAMERAS[0], "resize": True}})
    with pytest.raises(SourceError, match=r"crop \[100, 0, 128, 96\] is not inside its images of 160x96"):
        read_lerobot(root, {"cameras.static": {"feature": CAMERAS[0], "crop": [100, 0, 128, 96]}})
    with pytest.raises(SourceError, match="160x96, rig 'mine' has 64x48 .*resize: true"):
        read_lerobot(root)


# Text is text.


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "has no words"),
        (" .. ", "has no words"),
        ("word " * 80, "80 tokens, the text encoder takes 75"),
    ],
)
def test_texts_that_cannot_be_used_cost_their_episode(tmp_path, read_lerobot, text, said):
    episodes, (lost,) = read_lerobot(make(tmp_path / "set", tasks=("stack", text)))
    assert len(episodes) == 1 and lost.name == "episode_000001" and said in lost.reason


@pytest.mark.parametrize(
    "value, said", [(None, "is None"), (7, "is 7"), ([], "empty list"), (["open", "x"], None)]
)
def test_tasks_that_are_no_texts_are_named(tmp_path, read_lerobot, value, said):
    episodes, lost = read_lerobot(make(tmp_path / "set", version="v2.1", tasks=("stack", value)))
    if said is None:
        assert [one.task for one in episodes] == ["stack", "open"]
    else:
        assert len(episodes) == 1 and said in lost[0].reason


@pytest.mark.parametrize(
    "columns", [["category", "task_index", "task"], ["note", "task", "category", "task_index"]]
)
def test_the_right_column_of_texts_is_taken(tmp_path, read_lerobot, columns):
    root = make(tmp_path / "set")
    values = {
        "task_index": [0, 1],
        "task": ["stack it", "wipe it"],
        "category": ["kitchen", "bath"],
        "note": ["a", "b"],
    }
    pq.write_table(pa.table({name: values[name] for name in columns}), root / "meta/tasks.parquet")
    assert [one.task for one in read_lerobot(root)[0]] == ["stack it", "wipe it"]
