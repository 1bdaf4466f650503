"""Marks from a page: trim, exclude, relabel, restore; and what the player shows of an episode."""

import json

import pytest

from gr1_core import images
from gr1_core.data.bag import Bag
from gr1_core.data.episode_view import episode_view, frame_at
from gr1_core.data.marks import marks_of
from gr1_teleop.episode_editor import EditError, edit_episode
from gr1_teleop.episode_index import EpisodeIndex
from gr1_teleop.episode_outliers import EpisodeOutliers
from tests.data import planted
from tests.data.bag_fixture import START, Recording, demonstration


@pytest.fixture
def index(tmp_path):
    demonstration(1, 30).save(tmp_path / "bags/a", instruction="lift the cup")
    return EpisodeIndex(tmp_path / "bags")


def marks(index):
    return marks_of(Bag(index.folder / "a").labels)


def test_each_change_is_made_and_can_be_taken_back(index):
    said = edit_episode(index, {"episode": "a", "change": "trim", "start": 0.5, "end": 2.0})
    assert said == "trimmed to 0.50 s .. 2.00 s"
    edit_episode(index, {"episode": "a", "change": "trim", "start": None, "end": 1.5})
    assert (marks(index).trim_start_s, marks(index).trim_end_s) == (0.5, 1.5)
    edit_episode(index, {"episode": "a", "change": "exclude", "why": "it fell"})
    edit_episode(
        index, {"episode": "a", "change": "label", "outcome": "failure", "instruction": "lift the mug"}
    )
    bag = Bag(index.folder / "a")
    assert (bag.outcome, bag.instruction, marks(index).excluded) == ("failure", "lift the mug", "it fell")
    edit_episode(index, {"episode": "a", "change": "restore"})
    bag = Bag(index.folder / "a")
    assert (bag.outcome, bag.instruction) == ("success", "lift the cup")
    assert not marks(index).trimmed and not marks(index).excluded


@pytest.mark.parametrize(
    "asked, words",
    [
        ({"episode": "b", "change": "keep"}, "no complete episode 'b'"),
        ({"episode": "../bags/a", "change": "keep"}, "no complete episode"),
        ({"episode": ["a"], "change": "keep"}, "no complete episode"),
        ({"episode": "a", "change": "delete"}, "expected trim"),
        ({"episode": "a", "change": "trim", "start": "1"}, "expected seconds"),
        ({"episode": "a", "change": "trim", "start": 99}, "the recording has"),
        ({"episode": "a", "change": "label"}, "nothing to change"),
        ({"episode": "a", "change": "label", "outcome": "splendid"}, "is not one of"),
        ({"episode": "a", "change": "exclude", "why": "two\nlines"}, "one line"),
    ],
)
def test_a_wrong_change_is_refused_with_its_reason(index, asked, words):
    with pytest.raises(EditError, match=words):
        edit_episode(index, asked)


def test_an_episode_is_shown_with_curves_gaps_takeovers_and_what_conversion_keeps(tmp_path):
    made = demonstration(1, 60)
    made.messages = [
        message for message in made.messages if not ("static" in message[1] and 2000 < message[0] < 3000)
    ]
    for at in range(3500, 4500, 100):
        made.twist(at, (0.1, 0, 0), source="teleop")
    view = episode_view(Bag(made.save(tmp_path / "a")))
    kinds = {event["kind"]: event for event in view["events"]}
    assert 1.9 < kinds["gap"]["start_s"] < 2.1 and "camera/static: nothing for 1.0" in kinds["gap"]["text"]
    assert kinds["takeover"]["start_s"] == pytest.approx(3.5, abs=0.02)
    assert kinds["takeover"]["end_s"] == pytest.approx(4.4, abs=0.02)
    assert view["cameras"] == ["static", "wrist"] and view["steps"]["kept"] < view["steps"]["recorded"] == 60
    assert len(view["curves"]["gripper"]) > 100 and len(view["curves"]["speed"]) > 100
    json.dumps(view)


def test_frames_are_those_of_their_time_and_the_first_before_it(tmp_path):
    recording = Recording()
    for number in range(10):
        recording.frame(100 * number + 50, "static", images_of(number), "raw" if number % 2 else "raw")
    recording.arm(0)
    bag = Bag(recording.save(tmp_path / "a"))
    level = [int(images.decode(frame_at(bag, "static", t)).mean()) for t in (0.0, 0.06, 0.349, 0.352, 99.0)]
    assert bag.start_ns == START + 1_000_000
    assert level == pytest.approx([0, 0, 40, 60, 180], abs=2)
    assert frame_at(bag, "wrist", 0.1) is None


def images_of(number):
    import numpy as np

    return np.full((48, 64, 3), 20 * number, np.uint8)


def test_outliers_are_found_in_the_background_and_only_when_idle(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(6):
        made = demonstration(3, 20 if number else 60)
        made.save(tmp_path / f"bags/b{number}", started=f"2024-01-01T00:00:0{number}")
    index, idle = EpisodeIndex(tmp_path / "bags"), [False]
    index.list_episodes()
    outliers = EpisodeOutliers(index.folder, lambda: idle[0])
    bags = index.bags("success")
    assert outliers.request(bags) == {"outliers": {}, "done": 0, "total": 6}
    idle[0] = True
    with outliers.changed:
        assert outliers.changed.wait_for(lambda: outliers.request(bags)["done"] == 6, 60)
    found = outliers.request(bags)["outliers"]
    assert "s long" in " ".join(found["b0"]["reasons"])
    edit_episode(index, {"episode": "b0", "change": "exclude"})
    assert "b0" not in {folder.name for _, folder in index.bags("success")}
    outliers.close()


def test_a_duplicate_names_its_original(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = demonstration(3, 20).save(tmp_path / "bags/a")
    planted.plant(source, tmp_path / "bags/b", lambda messages: messages)
    index = EpisodeIndex(tmp_path / "bags")
    outliers = EpisodeOutliers(index.folder)
    bags = index.bags("success")
    outliers.request(bags)
    with outliers.changed:
        assert outliers.changed.wait_for(lambda: outliers.request(bags)["done"] == 2, 60)
    assert outliers.request(bags)["outliers"]["b"]["reasons"] == ["nearly the same as a"]
    outliers.close()
