"""Hand videos: reproducible from a seed, narrated at the right time, and readable by the Ego4D converter."""

import json
import subprocess
import sys

import av
import numpy as np
import pytest

from gr1_core.cli import main
from gr1_core.data.convert.sources.ego4d import Ego4DSource
from gr1_core.data.dataset import Dataset
from gr1_core.sim.hands import rendering, scene
from gr1_core.sim.hands import videos as hand_videos
from gr1_core.sim.hands.script import DRAWER, PLACEMENT_MAX, PLACEMENT_MIN
from gr1_core.sim.hands.videos import HandsError, VideoSpec
from gr1_core.sim.objects.catalogue import CATEGORIES, NAMED_CATEGORIES

MANY = range(40)


@pytest.fixture(scope="module")
def videos():
    return [scene.sample_video(3, index, 6) for index in MANY]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Eight clips in two videos."""
    out = tmp_path_factory.mktemp("hands") / "h"
    assert main(["collect", "hands", "--clips", "8", "--seed", "3", "--out", str(out), "--workers", "1"]) == 0
    return out


def frames(path):
    """Of a video file; x264 does not promise the same bytes for the same images."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)])


def alike(one, other):
    return one.shape == other.shape and np.abs(one - other).mean() < 0.5


def scene_states(video):
    return list(video.script.frames(rendering.FPS))


def test_the_converter_makes_a_dataset_of_every_narrated_clip(made, tmp_path):
    assert main(["convert", "ego4d", str(made), "--out", str(tmp_path / "set"), "--workers", "1"]) == 0
    written = Dataset(tmp_path / "set")
    assert (written.kind, written.fps, len(written.episodes), written.length) == ("videos", 3, 8, 80)
    assert not any("#" in task or task.startswith("C ") for task in written.tasks)


def test_a_clip_shows_the_hand_at_work(made):
    """Within a clip the image changes; the first and the last half of its frames are not the same scene."""
    unit, *_ = Ego4DSource(made).units()
    from gr1_core import images

    for clip in Ego4DSource(made).read(unit):
        frames = [images.decode(image).astype(int) for image in clip.images["static"]]
        changes = [np.abs(after - before).mean() for before, after in zip(frames, frames[1:])]
        assert max(changes) > 0.5 and frames[0].std() > 15


def test_a_seed_gives_the_same_in_every_process(videos):
    code = """
import hashlib
from gr1_core.sim.hands import rendering, scene
video = scene.sample_video(3, 1, 6)
frames = b"".join(frame.tobytes() for _, frame in zip(range(3), rendering.render_video(video)))
print(hashlib.sha256(frames).hexdigest(), video.script.narrations)
"""
    printed = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert printed[0] == printed[1] and str(videos[1].script.narrations) in printed[0]
    assert videos[0].xml != scene.sample_video(4, 0, 6).xml != scene.sample_video(4, 1, 6).xml


def test_every_category_and_every_action_is_narrated(videos):
    text = " / ".join(narration.text for video in videos for narration in video.script.narrations)
    assert all(CATEGORIES[category].noun in text for category in NAMED_CATEGORIES)
    for words in (
        "picks",
        "from the plate",
        "on the plate",
        "in the bowl",
        "on the table",
        "drawer",
        "pushes",
    ):
        assert words in text
    assert len({narration.text for video in videos for narration in video.script.narrations}) > 100


def test_picked_objects_rise_and_put_objects_come_to_rest(videos):
    risen = 0
    for video in videos:
        seen = scene_states(video)
        for slot, item in video.script.items.items():
            heights = np.array([state.poses[slot][2] for state in seen])
            assert heights.min() > item.rest_height - 1e-6, "nothing sinks into the table"
            assert (
                heights[-1] < item.rest_height + 0.02
                or np.linalg.norm(seen[-1].poses[slot][:3] - seen[-1].hand.point) < 0.06
            )
            risen += heights.max() > item.rest_height + 0.07
    assert risen > len(videos)


def test_an_object_moves_only_with_the_hand(videos):
    for video in videos:
        seen = scene_states(video)
        for before, after in zip(seen, seen[1:]):
            for slot, item in video.script.items.items():
                if np.abs(after.poses[slot] - before.poses[slot])[:3].max() > 1e-3:
                    assert np.linalg.norm(after.poses[slot][:3] - after.hand.point) < item.radius + 0.06


def test_a_drawer_moves_only_along_its_rail_and_a_narration_says_so(videos):
    with_drawer = [video for video in videos if video.script.drawer_position is not None]
    opened = [np.array([state.drawer for state in scene_states(video)]) for video in with_drawer]
    assert all(-1e-9 <= track.min() and track.max() <= 0.16 + 1e-9 for track in opened)
    for video, track in zip(with_drawer, opened):
        if np.ptp(track) > 0.05 and not any(
            "#unsure" in narration.text for narration in video.script.narrations
        ):
            assert any(DRAWER in narration.text for narration in video.script.narrations)
    assert sum(np.ptp(track) > 0.05 for track in opened) > 3
    assert not any(
        DRAWER in narration.text
        for video in videos
        if video.script.drawer_position is None
        for narration in video.script.narrations
    )


def test_a_narration_is_close_to_the_start_or_end_of_its_objects_motion(videos):
    """For picks and puts: within a second of a change between lying and moving."""
    for video in videos:
        seen = scene_states(video)
        for narration in video.script.narrations:
            slot = next(
                (slot for slot, item in video.script.items.items() if f" {item.noun}" in narration.text),
                None,
            )
            if slot is None:
                continue
            track = np.array([state.poses[slot][:3] for state in seen])
            moving = np.flatnonzero(np.abs(np.diff(track, axis=0)).max(1) > 1e-3) / rendering.FPS
            assert len(moving) and np.abs(moving - narration.seconds).min() < 1.3, narration.text


def test_objects_lie_apart_and_within_reach(videos):
    for video in videos:
        positions = np.array([place[:2] for place in video.script.poses.values()])
        assert (positions > PLACEMENT_MIN - 0.02).all() and (positions < PLACEMENT_MAX + 0.02).all()
        gaps = [
            np.linalg.norm(one - other)
            for number, one in enumerate(positions)
            for other in positions[:number]
        ]
        assert min(gaps, default=1.0) > 0.07


def test_fingers_close_on_what_they_hold(videos):
    for scale, right in ((0.9, True), (1.1, False)):
        for opening in (0.02, 0.05, 0.08):
            hand = videos[0].script.start
            (position, _), wide = rendering.palm_pose(
                type(hand)(hand.point, 0.0, 0.3, opening + 0.02), scale, right
            )
            _, narrow = rendering.palm_pose(type(hand)(hand.point, 0.0, 0.3, opening), scale, right)
            assert narrow > wide and 0.03 < np.linalg.norm(position - hand.point) < 0.15


def test_an_interrupted_run_is_resumed_with_the_same_videos(made, capsys):
    first, second = sorted((made / "v2" / "full_scale").glob("*.mp4"))
    whole, before, age = first.read_bytes(), frames(first), second.stat().st_mtime_ns
    first.unlink()
    (first.parent / "x.partial").write_bytes(whole[:100])
    assert (
        main(["collect", "hands", "--clips", "8", "--seed", "3", "--out", str(made), "--workers", "1"]) == 0
    )
    assert "1 existed already" in capsys.readouterr().out
    assert (
        alike(frames(first), before)
        and second.stat().st_mtime_ns == age
        and len(list(first.parent.iterdir())) == 2
    )


def test_two_workers_write_the_same_videos_as_one(made, tmp_path):
    assert [
        new for _, new in hand_videos.collect_videos(hand_videos.plan_videos(8, 3), tmp_path / "h", workers=2)
    ] == [
        True,
        True,
    ]
    for path in (made / "v2" / "full_scale").glob("*.mp4"):
        assert alike(frames(tmp_path / "h" / "v2" / "full_scale" / path.name), frames(path))


@pytest.mark.parametrize("change", [["--seed", "4"], ["--clips", "9"]])
def test_other_arguments_for_the_same_folder_are_refused(made, change, capsys):
    arguments = {"--clips": "8", "--seed": "3"} | dict([change])
    assert main(["collect", "hands", *sum(map(list, arguments.items()), []), "--out", str(made)]) == 1
    assert "another --clips or --seed" in capsys.readouterr().err


def test_a_folder_with_other_files_is_refused_and_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(HandsError, match="holds no hand videos"):
        list(hand_videos.collect_videos([VideoSpec(0, 0, 1)], tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_annotations_are_in_ego4ds_form(made):
    content = json.loads((made / "v2" / "annotations" / "narration.json").read_text())
    assert len(content) == 2
    for uid, video in content.items():
        assert (made / "v2" / "full_scale" / f"{uid}.mp4").is_file()
        for narration in video["narration_pass_1"]["narrations"]:
            assert narration["narration_text"].startswith("#C C ") and narration["timestamp_sec"] >= 0
    assert sum(len(video["narration_pass_1"]["narrations"]) for video in content.values()) == 8
