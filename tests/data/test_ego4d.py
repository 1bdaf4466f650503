"""Ego4D's official layout becomes three-second clips; what is damaged is named and left out."""

import json
import shutil

import numpy as np
import pytest

from gr1_core import images
from gr1_core.cli import main
from gr1_core.data.convert.sources.ego4d import NOT_HERE, Ego4DSource, clean_narration
from gr1_core.data.convert.sources.source import Skipped, SourceError
from gr1_core.data.dataset import Dataset

from . import ego4d_fixture
from .ego4d_fixture import NARRATIONS, SECONDS, UIDS, brightness, write_narrations, write_video


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return ego4d_fixture.make(tmp_path_factory.mktemp("ego4d"))


@pytest.fixture
def folder(original, tmp_path):
    """A copy for a test to change."""
    return shutil.copytree(original, tmp_path / "ego4d")


def read(source, fails=()):
    """All that units give; the units in `fails` must refuse."""
    items = []
    for unit in source.units():
        if unit.key in fails:
            with pytest.raises(SourceError) as caught:
                list(source.read(unit))
            items.append(str(caught.value))
        else:
            items += source.read(unit)
    return items


def video(root, uid):
    return root / "v2" / "full_scale" / f"{uid}.mp4"


def seen_at(jpeg: bytes) -> float:
    """The time that a frame of the fixture's videos tells by the brightness of its left half, in seconds."""
    shown = images.decode(jpeg)
    assert shown.shape == (224, 224, 3)
    assert (
        shown[20:60, :108].std(axis=(1, 2)).max() < 3
        and np.abs(shown[20:60, 116:] - np.array([70.0, 90, 120])).mean() < 4
    )  # centred
    return (shown[20:-20, 20:100].mean() - brightness(0)) / (brightness(1) - brightness(0))


def test_each_narration_is_a_clip_of_ten_frames_around_it(original):
    clips = read(Ego4DSource(original))
    expected = [(uid, *narration) for uid in UIDS for narration in NARRATIONS[uid]]
    assert len(clips) == len(expected)
    for clip, (uid, narrated, text) in zip(clips, expected):
        start = min(max(narrated - 1.5, 0), SECONDS - 1 / 30 - 3)
        assert clip.info["seconds"] == pytest.approx((start, start + 3), abs=1e-3)
        assert clip.info["source"] == f"v2/full_scale/{uid}.mp4" and clip.info["narration"] == text
        times = [seen_at(jpeg) for jpeg in clip.images["static"]]
        np.testing.assert_allclose(times, start + np.arange(10) / 3, atol=0.12)
        assert clip.state is None and clip.action is None


@pytest.mark.parametrize(
    ("narration", "text"),
    [
        ("#C C picks up the knife", "picks up the knife"),
        ("#c C picks up the knife.", "picks up the knife"),
        ("#C C picks up the #unsure.", "picks up something"),
        ("#C C cuts #Unsure with a knife", "cuts something with a knife"),
        ("#O A man X opens the door", "A man X opens the door"),
        ("C's hand moves", "C's hand moves"),
        ("#C C", ""),
        ("#C #unsure", ""),
        (" _ ", ""),
    ],
)
def test_tags_of_the_annotators_are_removed(narration, text):
    assert clean_narration(narration) == text


def test_a_subset_is_drawn_from_all_narrations(original):
    chosen = [clip.name for clip in read(Ego4DSource(original, clips=3))]
    everything = [clip.name for clip in read(Ego4DSource(original))]
    assert len(chosen) == 3 and chosen == [name for name in everything if name in chosen]
    assert chosen == [clip.name for clip in read(Ego4DSource(original, clips=3))]


def test_a_jump_over_a_long_gap_finds_the_right_frames(tmp_path):
    """Whether decoded through or jumped to, a moment shows the same frame."""
    root = ego4d_fixture.make(tmp_path, seconds=6)
    write_video(video(root, UIDS[0]), 128, 128, seconds=60, fps=10)
    seldom = {UIDS[0]: [(4.0, "#C C sits"), (31.0, "#C C stands"), (58.0, "#C C sits again")]}
    write_narrations(root, seldom)
    jumped = {clip.info["seconds"]: clip.images["static"] for clip in read(Ego4DSource(root))}
    write_narrations(root, {UIDS[0]: seldom[UIDS[0]] + [(float(at), "#C C sits") for at in range(2, 58, 5)]})
    decoded = {clip.info["seconds"]: clip.images["static"] for clip in read(Ego4DSource(root))}
    assert len(jumped) == 3 and all(decoded[seconds] == frames for seconds, frames in jumped.items())
    assert all(len(set(frames)) == 10 for frames in jumped.values())


def test_a_narration_after_the_end_of_the_video_is_left_out(folder):
    write_narrations(
        folder, {UIDS[0]: [(4.0, "#C C sits"), (12.5, "#C C stands")], UIDS[1]: NARRATIONS[UIDS[1]]}
    )
    first, second, *rest = read(Ego4DSource(folder))
    assert isinstance(first, Skipped) and first.name == f"{UIDS[0]}_narration_pass_2_00000"
    assert f"{UIDS[0]}.mp4" in first.reason and "10.0 s long" in first.reason and "12.5 s" in first.reason
    assert second.task == "sits" and len(rest) == 2


def test_a_video_shorter_than_a_clip_is_named(folder):
    write_video(video(folder, UIDS[1]), 64, 64, seconds=2)
    items = read(Ego4DSource(folder))
    assert [type(item) for item in items[4:]] == [Skipped, Skipped] and "2.0 s long" in items[4].reason


@pytest.mark.parametrize("content", [b"", b"not a video", None])
def test_an_unreadable_video_skips_its_narrations_and_is_named(folder, content):
    path = video(folder, UIDS[0])
    path.write_bytes(path.read_bytes()[:20_000] if content is None else content)
    refused, *rest = read(Ego4DSource(folder), fails=[UIDS[0]])
    assert path.name in refused and "cannot be opened" in refused and "its 4 narrations" in refused
    assert [clip.task for clip in rest] == ["opens the drawer", "turns the tap off"]


def test_damage_inside_a_video_skips_the_affected_clips(folder):
    path = video(folder, UIDS[0])
    data = bytearray(path.read_bytes())
    data[len(data) * 7 // 10 : len(data) * 9 // 10] = bytes(len(data) * 9 // 10 - len(data) * 7 // 10)
    path.write_bytes(data)
    clips, skipped = [], []
    for item in read(Ego4DSource(folder)):
        (skipped if isinstance(item, Skipped) else clips).append(item)
    assert {clip.task for clip in clips} >= {"picks up the knife", "opens the drawer"}
    assert skipped and all(
        "no frame can be decoded" in item.reason and path.name in item.reason for item in skipped
    )
    for clip in clips:
        start = clip.info["seconds"][0]
        np.testing.assert_allclose(
            [seen_at(jpeg) for jpeg in clip.images["static"]], start + np.arange(10) / 3, atol=0.2
        )


def test_a_missing_video_is_named_once(folder):
    video(folder, UIDS[0]).unlink()
    units = Ego4DSource(folder).units()
    assert [unit.key for unit in units] == [UIDS[1], NOT_HERE]
    missing = read(Ego4DSource(folder))[-1]
    assert missing.name == UIDS[0] and "is missing (4 narrations)" in missing.reason


def test_narrations_without_words_or_time_are_named(folder):
    write_narrations(
        folder, {UIDS[0]: [(1.0, "#C C"), (-5.0, "#C C sits"), (3.0, None), (4.0, "#C C stands")]}
    )
    items = read(Ego4DSource(folder))
    assert sorted(item.reason.split(": ", 1)[1] for item in items if isinstance(item, Skipped)) == [
        "its time is not seconds from the video's start",
        "the narration '#C C' has no words",
        "the narration is None (NoneType), expected a text",
    ]
    assert [item.task for item in items if not isinstance(item, Skipped)] == ["stands"]


def test_the_redacted_file_of_all_narrations_is_read_too(folder):
    annotations = folder / "v2" / "annotations"
    (annotations / "narration.json").unlink()
    content = {
        "version": "v2",
        "videos": {
            UIDS[1]: {"narrations": [{"time": 3.0, "text": "#C C opens the drawer"}], "summaries": []}
        },
    }
    (annotations / "all_narrations_redacted.json").write_text(json.dumps(content))
    clip, *missing = read(Ego4DSource(folder))
    assert clip.task == "opens the drawer" and not missing


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("v2/full_scale", "is one part of Ego4D's folder"),
        ("v2/annotations", "give .*v2$"),
        ("..", r"did you mean .*ego4d\?"),
        ("x", "no such folder"),
    ],
)
def test_the_right_folder_is_suggested(original, given, message):
    with pytest.raises(SourceError, match=message):
        Ego4DSource((original / given).resolve())


def test_the_folder_of_a_version_is_accepted_too(original):
    assert len(Ego4DSource(original / "v2").units()) == 2


def test_videos_of_a_later_version_and_small_videos_are_found(folder):
    (folder / "v2_1").mkdir()
    (folder / "v2" / "full_scale").rename(folder / "v2_1" / "video_540ss")
    assert len(read(Ego4DSource(folder))) == 6


@pytest.mark.parametrize(
    ("gone", "message"), [("annotations", "--datasets annotations"), ("full_scale", "--datasets video_540ss")]
)
def test_missing_downloads_are_named(folder, gone, message):
    shutil.rmtree(folder / "v2" / gone)
    with pytest.raises(SourceError, match=message):
        Ego4DSource(folder)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"a": {"status": "redacted"}}'])
def test_annotations_that_cannot_be_used_are_refused(folder, content):
    (folder / "v2" / "annotations" / "narration.json").write_text(content)
    with pytest.raises(SourceError, match=r"narration\.json"):
        Ego4DSource(folder).units()


def test_annotations_of_other_videos_are_refused(folder):
    for uid in UIDS:
        video(folder, uid).unlink()
    with pytest.raises(SourceError, match="holds none of the 2 videos"):
        Ego4DSource(folder).units()


def test_the_command_writes_a_dataset_of_videos_and_counts_what_it_skipped(folder, tmp_path, capsys):
    video(folder, UIDS[0]).write_bytes(b"not a video")
    assert main(["convert", "ego4d", str(folder), "--out", str(tmp_path / "set"), "--workers", "1"]) == 0
    written = Dataset(tmp_path / "set")
    assert (written.kind, written.fps, written.rig, written.roles, written.length) == (
        "videos",
        3,
        None,
        ("static",),
        20,
    )
    assert written.tasks == ["opens the drawer", "turns the tap off"]
    assert UIDS[0] in capsys.readouterr().out
