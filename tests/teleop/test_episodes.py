"""Episodes: a slip of the thumb costs none, the recorder's word is heard, and the list tells what lies on the disk."""

import os
import threading

import numpy as np
import pytest
from mcap.stream_reader import breakup_chunk

from gr1_core import images
from gr1_core.data.bag import Bag, BagError, relabel
from gr1_teleop.episodes import CONFIRM_S, EpisodeError, Episodes
from gr1_teleop.library import NEWEST, Library
from tests.data.bag_fixture import Recording, demonstration
from tests.teleop.standin import Recorder

COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200))


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def episodes(recorder, clock, tmp_path) -> Episodes:
    return Episodes(recorder, tmp_path, clock)


def kinds(episodes: Episodes) -> list[str]:
    return [pulse["kind"] for pulse in episodes.haptics()]


# Two steps


@pytest.mark.parametrize("action", ["success", "discard"])
def test_on_a_headset_the_first_press_asks_and_the_second_does(episodes, recorder, action):
    assert episodes.press(action, two_steps=True) is None
    assert episodes.state()["confirm"] == action and recorder.calls == []
    done = episodes.press(action, two_steps=True)
    assert episodes.state()["confirm"] is None and episodes.state()["busy"] == "ending"
    assert done() == "20240501-141503-open_drawer"
    assert recorder.calls == [action] and episodes.state()["busy"] == ""
    assert kinds(episodes) == ["record", "record"] and kinds(episodes) == []


def test_a_question_is_forgotten_after_three_seconds(episodes, recorder, clock):
    episodes.press("discard", two_steps=True)
    clock.now += CONFIRM_S - 0.01
    assert episodes.state()["confirm"] == "discard"
    clock.now += 0.02
    assert episodes.state()["confirm"] is None
    assert episodes.press("discard", two_steps=True) is None, "a late second press is a first one"
    assert recorder.calls == []


@pytest.mark.parametrize(("between", "asked"), [("success", "success"), ("start", None), ("failure", None)])
def test_another_press_in_between_means_no(episodes, recorder, between, asked):
    episodes.press("discard", two_steps=True)
    if done := episodes.press(between, two_steps=True):
        done()
    assert episodes.state()["confirm"] == asked
    assert episodes.press("discard", two_steps=True) is None
    assert "discard" not in recorder.calls


def test_a_refused_press_takes_the_question_back_too(episodes):
    episodes.press("discard", two_steps=True)
    with pytest.raises(EpisodeError):
        episodes.press("relabel", two_steps=True)
    assert episodes.state()["confirm"] is None


@pytest.mark.parametrize("action", ["success", "discard", "failure", "start"])
def test_a_page_with_a_mouse_presses_once(episodes, recorder, action):
    episodes.press(action)()
    assert recorder.calls == [action]


# The recorder


def test_the_instruction_is_told_before_the_episode_begins(episodes, recorder):
    episodes.press("start", "  open the drawer ")()
    assert recorder.calls == ["instruct: open the drawer", "start"]
    assert episodes.state()["instruction"] == "open the drawer"
    episodes.press("start")()
    assert recorder.calls[2:] == ["start"], "as before"
    episodes.instruct("close the drawer")()
    assert recorder.calls[3:] == ["instruct: close the drawer"] and episodes.state()["instruction"] == "close the drawer"


def test_relabelling_changes_the_last_bag_and_not_what_comes_next(episodes, recorder):
    episodes.press("relabel", "close the drawer")()
    assert recorder.calls == ["relabel: close the drawer"] and episodes.state()["instruction"] == ""


@pytest.mark.parametrize(
    ("instruction", "says"),
    [("", "is empty"), ("  ", "is empty"), ("a\nb", "line breaks"), ("x\x1b[31m", "control"), ("x" * 301, "301 characters")],
)
def test_an_instruction_that_cannot_be_one_is_refused_at_once(episodes, recorder, instruction, says):
    for press in (lambda: episodes.press("relabel", instruction), lambda: episodes.instruct(instruction)):
        with pytest.raises(EpisodeError, match=says):
            press()
    assert recorder.calls == [] and episodes.state()["busy"] == ""


def test_what_the_recorder_refuses_is_felt_and_shown_for_five_seconds(episodes, recorder, clock):
    recorder.refusal = "not arriving: camera/wrist/image_raw/compressed (is its node running?)"
    with pytest.raises(EpisodeError, match="not arriving: camera/wrist"):
        episodes.press("start")()
    assert kinds(episodes) == ["refused"]
    assert episodes.state() == {"busy": "", "confirm": None, "instruction": "", "refusal": recorder.refusal}
    clock.now += 5.1
    assert episodes.state()["refusal"] == ""


def test_what_goes_well_takes_the_refusal_away(episodes, recorder):
    recorder.refusal = "no instruction"
    with pytest.raises(EpisodeError):
        episodes.press("start")()
    recorder.refusal = ""
    episodes.press("start")()
    assert episodes.state()["refusal"] == ""


def test_a_recorder_that_breaks_down_is_a_refusal_and_the_next_press_is_taken(episodes, recorder, monkeypatch):
    monkeypatch.setattr(recorder, "success", lambda: 1 / 0)
    with pytest.raises(EpisodeError, match="could not be asked.*ZeroDivisionError.*terminal"):
        episodes.press("success")()
    assert episodes.press("failure")() == "20240501-141503-open_drawer"


def test_presses_while_the_recorder_works_are_refused_and_not_queued(episodes, recorder):
    recorder.hold = threading.Event()
    starting = threading.Thread(target=episodes.press("start"))
    starting.start()
    for press in (lambda: episodes.press("start"), lambda: episodes.press("success", two_steps=True), lambda: episodes.instruct("go")):
        with pytest.raises(EpisodeError, match="still starting: wait"):
            press()
    recorder.hold.set()
    starting.join(5)
    assert recorder.calls == ["start"] and episodes.state()["busy"] == ""


def test_an_unknown_action_is_named_with_those_there_are(episodes):
    with pytest.raises(EpisodeError, match="no action 'delete'.*start, success, failure, discard, relabel"):
        episodes.press("delete")


# The list


def record(folder, colour=COLOURS[0], kind="jpeg", **labels):
    """Two pictures: a grey one first, then one of this colour."""
    recording = Recording()
    recording.frame(0, "static", np.full((90, 160, 3), 99, np.uint8), kind)
    recording.arm(20)
    recording.frame(2000, "static", np.full((90, 160, 3), colour, np.uint8), kind)
    return recording.save(folder, **labels)


def test_each_bag_is_a_row_the_newest_first(tmp_path):
    record(tmp_path / "first", started="2024-05-01T14:15:03.000+00:00", instruction="open the drawer", operator="Ada")
    record(tmp_path / "second", started="2024-05-01T14:16:03.000+00:00", outcome="failure", task="lift_cup")
    second, first = Library(tmp_path).listing()["episodes"]
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
    }


def test_counts_are_per_task_where_there_is_one_and_per_instruction_elsewhere(tmp_path):
    record(tmp_path / "a", task="lift_cup", instruction="lift the cup")
    record(tmp_path / "b", task="lift_cup", instruction="raise the mug", outcome="discarded")
    record(tmp_path / "c", instruction="open the drawer")
    listing = Library(tmp_path).listing()
    assert listing["counts"] == {"lift_cup": {"success": 1, "discarded": 1}, "open the drawer": {"success": 1}}
    assert listing["total"] == 3


def test_a_new_label_is_seen_and_what_has_not_changed_is_not_read_again(tmp_path, monkeypatch):
    for name in "ab":
        record(tmp_path / name)
    library, read = Library(tmp_path), []
    library.listing()
    monkeypatch.setattr("gr1_teleop.library.Bag", lambda folder: read.append(folder.name) or Bag(folder))
    assert library.listing()["total"] == 2 and read == []
    relabel(tmp_path / "b", outcome="discarded")
    assert {row["name"]: row["outcome"] for row in library.listing()["episodes"]} == {"a": "success", "b": "discarded"}
    assert read == ["b"]


def test_a_running_recording_and_one_that_was_cut_off_are_told_apart(tmp_path):
    for name in ("running", "cut"):
        (record(tmp_path / name) / "metadata.yaml").unlink()
    rows = {row["name"]: row for row in Library(tmp_path).listing(recording="running")["episodes"]}
    assert (rows["running"]["outcome"], rows["running"]["problem"]) == ("recording", "")
    assert rows["cut"]["outcome"] == "unfinished" and "gr1 bags recover" in rows["cut"]["problem"]
    assert Library(tmp_path).listing()["counts"] == {}


def test_a_broken_bag_is_a_row_that_says_so_and_other_folders_are_none(tmp_path):
    (record(tmp_path / "broken") / "metadata.yaml").write_text("nonsense")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file.txt").write_text("")
    (row,) = Library(tmp_path).listing()["episodes"]
    assert row["name"] == "broken" and "not rosbag2's metadata" in row["problem"]


def test_the_disk_is_told_even_before_the_folder_exists(tmp_path):
    listing = Library(tmp_path / "not" / "yet").listing()
    assert listing["episodes"] == [] and listing["total"] == 0
    usage = os.statvfs(tmp_path)
    assert listing["disk"]["total"] == usage.f_blocks * usage.f_frsize and 0 < listing["disk"]["free"] <= listing["disk"]["total"]


def test_a_long_day_sends_the_newest_rows_and_counts_all(tmp_path):
    source = record(tmp_path / "b0000")
    for number in range(1, NEWEST + 20):
        (tmp_path / f"b{number:04d}").mkdir()
        for path in source.iterdir():
            (tmp_path / f"b{number:04d}" / path.name).hardlink_to(path)
    listing = Library(tmp_path).listing()
    assert len(listing["episodes"]) == NEWEST and listing["total"] == NEWEST + 20
    assert listing["episodes"][0]["name"] == f"b{NEWEST + 19:04d}"
    assert sum(listing["counts"]["lift the cup"].values()) == NEWEST + 20


# Thumbnails


@pytest.mark.parametrize("kind", ["jpeg", "raw"])
def test_the_thumbnail_is_the_static_cameras_last_picture_made_small(tmp_path, kind):
    record(tmp_path / "bag", COLOURS[1], kind)
    picture = images.decode(Library(tmp_path).thumbnail("bag"))
    assert picture.shape == (135, 240, 3)
    assert np.abs(picture.mean(axis=(0, 1)) - COLOURS[1]).max() < 6


def test_a_thumbnail_is_made_once(tmp_path, monkeypatch):
    record(tmp_path / "bag")
    library = Library(tmp_path)
    first = library.thumbnail("bag")
    monkeypatch.setattr("gr1_teleop.library.Bag", lambda folder: pytest.fail("read again"))
    assert library.thumbnail("bag") is first


def test_there_is_no_thumbnail_of_what_has_no_picture(tmp_path):
    demonstration(steps=2, without="static").save(tmp_path / "blind")
    path = record(tmp_path / "damaged") / "damaged_0.mcap"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    (record(tmp_path / "running") / "metadata.yaml").unlink()
    library = Library(tmp_path)
    for name in ("blind", "damaged", "running", "none"):
        assert library.thumbnail(name) is None, name


@pytest.mark.parametrize("name", ["../secret", "..", ".", "", "/etc", "bag/../../secret", "a\x00b", "x" * 5000])
def test_a_name_from_outside_reaches_nothing_but_the_folders_own_bags(tmp_path, name):
    record(tmp_path / "secret")
    (tmp_path / "bags").mkdir()
    record(tmp_path / "bags" / "bag")
    assert Library(tmp_path / "bags").thumbnail(name) is None


def test_the_last_message_of_a_topic_is_read_from_the_end(tmp_path):
    bag = Bag(demonstration(steps=5).save(tmp_path / "bag"))
    for topic in bag.topics:
        assert bytes(bag.last(topic).data) == bytes(list(bag.messages([topic]))[-1].data)
    with pytest.raises(BagError, match="damaged"):
        bag.path.write_bytes(bag.path.read_bytes()[:-20])
        bag.last("/arm/pose")


def test_a_long_recording_is_not_read_through_for_its_last_picture(tmp_path, monkeypatch):
    """Noise does not compress: a picture is more than a chunk of the file."""
    recording, rng = Recording(), np.random.default_rng(0)
    for number in range(5):
        recording.frame(50 * number, "static", rng.integers(0, 255, (720, 960, 3), np.uint8), "raw")
    recording.save(tmp_path / "large")
    chunks = []
    monkeypatch.setattr("mcap.reader.breakup_chunk", lambda chunk, **how: chunks.append(chunk) or breakup_chunk(chunk, **how))
    assert Library(tmp_path).thumbnail("large") and len(chunks) == 1
