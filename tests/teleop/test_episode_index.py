"""The list of episodes: what lies on the disk, read once, and nothing else reached by a name from outside."""

import os

import numpy as np
import pytest

from gr1_core import images
from gr1_core.data.bag import Bag, BagError, relabel_bag
from gr1_core.data.label_scan import scan_labels
from gr1_core.data.marks import exclude_bag, trim_bag
from gr1_core.data.mcap_scan import McapScan
from gr1_teleop import episode_index
from gr1_teleop.episode_index import EpisodeIndex
from tests.data.bag_fixture import Recording, demonstration

COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200))


def record(folder, colour=COLOURS[0], kind="jpeg", **labels):
    """Two images: a grey one first, then one of this colour."""
    recording = Recording()
    recording.frame(0, "static", np.full((90, 160, 3), 99, np.uint8), kind)
    recording.arm(20)
    recording.frame(2000, "static", np.full((90, 160, 3), colour, np.uint8), kind)
    return recording.save(folder, **labels)


def test_each_bag_is_a_row_the_newest_first(tmp_path):
    record(
        tmp_path / "first",
        started="2024-05-01T14:15:03.000+00:00",
        instruction="open the drawer",
        operator="Ada",
    )
    record(tmp_path / "second", started="2024-05-01T14:16:03.000+00:00", outcome="failure", task="lift_cup")
    second, first = EpisodeIndex(tmp_path).list_episodes()["episodes"]
    assert (second["name"], second["outcome"], second["task"]) == ("second", "failure", "lift_cup")
    assert first == {
        "name": "first",
        "instruction": "open the drawer",
        "outcome": "success",
        "seconds": 2.0,
        "time": "2024-05-01T14:15:03.000+00:00",
        "task": "",
        "operator": "Ada",
        "problem": "",
        "excluded": "",
        "trimmed": False,
    }


def test_a_task_with_one_instruction_is_counted_under_the_users_words(tmp_path):
    record(tmp_path / "a", task="lift_cup", instruction="lift the cup")
    listing = EpisodeIndex(tmp_path).list_episodes()
    assert listing["counts"] == {"lift the cup": {"success": 1}}
    assert listing["instructions"] == {"lift the cup": 1}


def test_excluded_episodes_are_listed_but_not_counted(tmp_path):
    exclude_bag(record(tmp_path / "a"), "the cup fell")
    trim_bag(record(tmp_path / "b"), end_s=1.0)
    listing = EpisodeIndex(tmp_path).list_episodes()
    rows = {row["name"]: row for row in listing["episodes"]}
    assert rows["a"]["excluded"] == "the cup fell" and rows["b"]["trimmed"]
    assert listing["counts"] == {"lift the cup": {"success": 1}}


def test_a_list_of_a_thousand_does_not_read_topics_and_rig(tmp_path):
    """Layouts of other programs and broken labels are read in full, so that the row says what is wrong."""
    folder = record(tmp_path / "a", note="an 'odd': note, #1")
    labels = scan_labels(folder)
    assert labels == {name: text for name, text in Bag(folder).labels.items() if name in labels}
    assert {"instruction", "outcome", "started", "note"} <= labels.keys() and "topics" not in labels
    path = folder / "metadata.yaml"
    path.write_text(path.read_text().replace("outcome: success", "outcome: splendid"))
    assert scan_labels(folder) is None
    (row,) = EpisodeIndex(tmp_path).list_episodes()["episodes"]
    assert "'splendid' is not one of" in row["problem"]


def test_counts_are_per_task_where_it_has_several_instructions(tmp_path):
    record(tmp_path / "a", task="lift_cup", instruction="lift the cup")
    record(tmp_path / "b", task="lift_cup", instruction="raise the mug", outcome="discarded")
    record(tmp_path / "c", instruction="open the drawer")
    listing = EpisodeIndex(tmp_path).list_episodes()
    assert listing["counts"] == {
        "lift_cup": {"success": 1, "discarded": 1},
        "open the drawer": {"success": 1},
    }
    assert listing["total"] == 3


def test_a_new_label_is_seen_and_what_has_not_changed_is_not_read_again(tmp_path, monkeypatch):
    for name in "ab":
        record(tmp_path / name)
    library, read = EpisodeIndex(tmp_path), []
    library.list_episodes()
    monkeypatch.setattr(
        "gr1_teleop.episode_index.scan_labels", lambda folder: read.append(folder.name) or scan_labels(folder)
    )
    assert library.list_episodes()["total"] == 2 and read == []
    relabel_bag(tmp_path / "b", outcome="discarded")
    assert {row["name"]: row["outcome"] for row in library.list_episodes()["episodes"]} == {
        "a": "success",
        "b": "discarded",
    }
    assert read == ["b"]


def test_a_running_recording_and_one_that_was_cut_off_are_told_apart(tmp_path):
    for name in ("running", "cut"):
        (record(tmp_path / name) / "metadata.yaml").unlink()
    rows = {row["name"]: row for row in EpisodeIndex(tmp_path).list_episodes(recording="running")["episodes"]}
    assert (rows["running"]["outcome"], rows["running"]["problem"]) == ("recording", "")
    assert rows["cut"]["outcome"] == "unfinished" and "gr1 bags recover" in rows["cut"]["problem"]
    assert EpisodeIndex(tmp_path).list_episodes()["counts"] == {}


def test_a_broken_bag_is_a_row_that_says_so_and_other_folders_are_none(tmp_path):
    (record(tmp_path / "broken") / "metadata.yaml").write_text("nonsense")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file.txt").write_text("")
    (row,) = EpisodeIndex(tmp_path).list_episodes()["episodes"]
    assert row["name"] == "broken" and "not a metadata.yaml of rosbag2" in row["problem"]


def test_the_disk_is_told_even_before_the_folder_exists(tmp_path):
    listing = EpisodeIndex(tmp_path / "not" / "yet").list_episodes()
    assert listing["episodes"] == [] and listing["total"] == 0
    usage = os.statvfs(tmp_path)
    assert (
        listing["disk"]["total"] == usage.f_blocks * usage.f_frsize
        and 0 < listing["disk"]["free"] <= listing["disk"]["total"]
    )


def test_a_long_day_sends_the_newest_rows_and_counts_all(tmp_path, monkeypatch):
    monkeypatch.setattr(episode_index, "MAX_ROWS", 20)
    source = record(tmp_path / "b0000")
    for number in range(1, 30):
        (tmp_path / f"b{number:04d}").mkdir()
        for path in source.iterdir():
            (tmp_path / f"b{number:04d}" / path.name).hardlink_to(path)
    listing = EpisodeIndex(tmp_path).list_episodes()
    assert len(listing["episodes"]) == 20 and listing["total"] == 30
    assert listing["episodes"][0]["name"] == "b0029"
    assert sum(listing["counts"]["lift the cup"].values()) == 30


# Thumbnails


@pytest.mark.parametrize("kind", ["jpeg", "raw"])
def test_the_thumbnail_is_the_static_cameras_last_image_made_small(tmp_path, kind):
    record(tmp_path / "bag", COLOURS[1], kind)
    image = images.decode(EpisodeIndex(tmp_path).thumbnail("bag"))
    assert image.shape == (135, 240, 3)
    assert np.abs(image.mean(axis=(0, 1)) - COLOURS[1]).max() < 6


def test_a_thumbnail_is_made_once(tmp_path, monkeypatch):
    record(tmp_path / "bag")
    library = EpisodeIndex(tmp_path)
    first = library.thumbnail("bag")
    monkeypatch.setattr("gr1_teleop.episode_index.Bag", lambda folder: pytest.fail("read again"))
    assert library.thumbnail("bag") is first


def test_there_is_no_thumbnail_of_what_has_no_image(tmp_path):
    demonstration(steps=2, without="static").save(tmp_path / "blind")
    path = record(tmp_path / "damaged") / "damaged_0.mcap"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    (record(tmp_path / "running") / "metadata.yaml").unlink()
    library = EpisodeIndex(tmp_path)
    for name in ("blind", "damaged", "running", "none"):
        assert library.thumbnail(name) is None, name


@pytest.mark.parametrize(
    "name", ["../secret", "..", ".", "", "/etc", "bag/../../secret", "a\x00b", "x" * 5000]
)
def test_a_name_from_outside_reaches_nothing_but_the_folders_own_bags(tmp_path, name):
    record(tmp_path / "secret")
    (tmp_path / "bags").mkdir()
    record(tmp_path / "bags" / "bag")
    assert EpisodeIndex(tmp_path / "bags").thumbnail(name) is None


def test_the_last_message_of_a_topic_is_read_from_the_end(tmp_path):
    bag = Bag(demonstration(steps=5).save(tmp_path / "bag"))
    for topic in bag.topics:
        assert bytes(bag.last(topic).data) == bytes(list(bag.messages([topic]))[-1].data)
    with pytest.raises(BagError, match="damaged"):
        bag.path.write_bytes(bag.path.read_bytes()[:-20])
        bag.last("/arm/pose")


def test_a_long_recording_is_not_read_through_for_its_last_image(tmp_path, monkeypatch):
    """Noise does not compress: one image is larger than a chunk of the file."""
    recording, rng = Recording(), np.random.default_rng(0)
    for number in range(5):
        recording.frame(50 * number, "static", rng.integers(0, 255, (720, 960, 3), np.uint8), "raw")
    recording.save(tmp_path / "large")
    read, messages = [], McapScan.messages
    monkeypatch.setattr(McapScan, "messages", lambda scan, piece: read.append(piece) or messages(scan, piece))
    assert EpisodeIndex(tmp_path).thumbnail("large") and len(read) == 1
