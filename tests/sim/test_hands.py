"""Videos of someone's hands: the same from the same seed, narrated at the moment, and read by the converter of Ego4D."""

import json
import subprocess
import sys

import av
import numpy as np
import pytest

from gr1_core.cli import main
from gr1_core.data.convert.sources.ego4d import Ego4DSource
from gr1_core.data.dataset import Dataset
from gr1_core.sim.hands import collect, rendering, scene
from gr1_core.sim.hands.collect import HandsError, Order
from gr1_core.sim.hands.script import DRAWER, FIELD_MAX, FIELD_MIN
from gr1_core.sim.objects.catalogue import FORMS, NAMED

MANY = range(40)


@pytest.fixture(scope="module")
def videos():
    return [scene.draw(3, index, 6) for index in MANY]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Eight clips in two videos."""
    out = tmp_path_factory.mktemp("hands") / "h"
    assert main(["collect", "hands", "--clips", "8", "--seed", "3", "--out", str(out), "--workers", "1"]) == 0
    return out


def frames(path):
    """Of a video file; x264 does not promise the same bytes for the same pictures."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)])


def alike(one, other):
    return one.shape == other.shape and np.abs(one - other).mean() < 0.5


def moments(video):
    return list(video.script.frames(rendering.FPS))


def test_the_converter_makes_a_data_set_of_every_narrated_clip(made, tmp_path):
    assert main(["convert", "ego4d", str(made), "--out", str(tmp_path / "set"), "--workers", "1"]) == 0
    written = Dataset(tmp_path / "set")
    assert (written.kind, written.fps, len(written.episodes), written.length) == ("videos", 3, 8, 80)
    assert not any("#" in task or task.startswith("C ") for task in written.tasks)


def test_a_clip_shows_the_hand_at_work(made):
    """Within a clip the picture changes; the first and the last half of its frames are not the same scene."""
    unit, *_ = Ego4DSource(made).units()
    from gr1_core import images

    for clip in Ego4DSource(made).read(unit):
        frames = [images.decode(picture).astype(int) for picture in clip.images["static"]]
        changes = [np.abs(after - before).mean() for before, after in zip(frames, frames[1:])]
        assert max(changes) > 0.5 and frames[0].std() > 15


def test_a_seed_gives_the_same_in_every_process(videos):
    code = "from gr1_core.sim.hands import rendering, scene; import hashlib; v = scene.draw(3, 1, 6)\n"
    code += "print(hashlib.sha256(b''.join(p.tobytes() for _, p in zip(range(3), rendering.pictures(v)))).hexdigest(), v.script.narrations)"
    told = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert told[0] == told[1] and str(videos[1].script.narrations) in told[0]
    assert videos[0].xml != scene.draw(4, 0, 6).xml != scene.draw(4, 1, 6).xml


def test_every_kind_of_thing_and_every_action_is_told_of(videos):
    said = " / ".join(narration.text for video in videos for narration in video.script.narrations)
    assert all(FORMS[form].noun in said for form in NAMED)
    for words in (
        "picks",
        "from the plate",
        "on the plate",
        "in the bowl",
        "on the table",
        "drawer",
        "pushes",
    ):
        assert words in said
    assert len({narration.text for video in videos for narration in video.script.narrations}) > 100


def test_what_is_picked_rises_with_the_hand_and_what_is_put_comes_to_rest(videos):
    risen = 0
    for video in videos:
        seen = moments(video)
        for slot, thing in video.script.items.items():
            heights = np.array([moment.places[slot][2] for moment in seen])
            assert heights.min() > thing.rest - 1e-6, "nothing sinks into the table"
            assert (
                heights[-1] < thing.rest + 0.02
                or np.linalg.norm(seen[-1].places[slot][:3] - seen[-1].hand.point) < 0.06
            )
            risen += heights.max() > thing.rest + 0.07
    assert risen > len(videos)


def test_a_thing_moves_only_while_the_hand_is_at_it(videos):
    for video in videos:
        seen = moments(video)
        for before, after in zip(seen, seen[1:]):
            for slot, thing in video.script.items.items():
                if np.abs(after.places[slot] - before.places[slot])[:3].max() > 1e-3:
                    assert np.linalg.norm(after.places[slot][:3] - after.hand.point) < thing.radius + 0.06


def test_a_drawer_moves_only_along_its_rail_and_a_narration_says_so(videos):
    with_drawer = [video for video in videos if video.script.drawer_at is not None]
    opened = [np.array([moment.drawer for moment in moments(video)]) for video in with_drawer]
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
        if video.script.drawer_at is None
        for narration in video.script.narrations
    )


def test_a_narration_stands_where_the_thing_it_names_begins_or_ceases_to_move(videos):
    """For picks and puts: within a second of a change between lying and moving."""
    for video in videos:
        seen = moments(video)
        for narration in video.script.narrations:
            slot = next(
                (slot for slot, thing in video.script.items.items() if f" {thing.noun}" in narration.text),
                None,
            )
            if slot is None:
                continue
            track = np.array([moment.places[slot][:3] for moment in seen])
            moving = np.flatnonzero(np.abs(np.diff(track, axis=0)).max(1) > 1e-3) / rendering.FPS
            assert len(moving) and np.abs(moving - narration.seconds).min() < 1.3, narration.text


def test_things_lie_apart_and_within_reach(videos):
    for video in videos:
        places = np.array([place[:2] for place in video.script.places.values()])
        assert (places > FIELD_MIN - 0.02).all() and (places < FIELD_MAX + 0.02).all()
        gaps = [np.linalg.norm(one - other) for number, one in enumerate(places) for other in places[:number]]
        assert min(gaps, default=1.0) > 0.07


def test_fingers_close_on_what_they_hold(videos):
    for scale, right in ((0.9, True), (1.1, False)):
        for opening in (0.02, 0.05, 0.08):
            hand = videos[0].script.start
            (position, _), wide = rendering.palm_of(
                type(hand)(hand.point, 0.0, 0.3, opening + 0.02), scale, right
            )
            _, narrow = rendering.palm_of(type(hand)(hand.point, 0.0, 0.3, opening), scale, right)
            assert narrow > wide and 0.03 < np.linalg.norm(position - hand.point) < 0.15


def test_a_run_that_was_cut_off_goes_on_with_the_same_videos(made, capsys):
    first, second = sorted((made / "v2" / "full_scale").glob("*.mp4"))
    whole, before, age = first.read_bytes(), frames(first), second.stat().st_mtime_ns
    first.unlink()
    (first.parent / "x.partial").write_bytes(whole[:100])
    assert (
        main(["collect", "hands", "--clips", "8", "--seed", "3", "--out", str(made), "--workers", "1"]) == 0
    )
    assert "1 of them from before" in capsys.readouterr().out
    assert (
        alike(frames(first), before)
        and second.stat().st_mtime_ns == age
        and len(list(first.parent.iterdir())) == 2
    )


def test_two_workers_make_what_one_makes(made, tmp_path):
    assert [new for _, new in collect.collect(collect.orders(8, 3), tmp_path / "h", workers=2)] == [
        True,
        True,
    ]
    for path in (made / "v2" / "full_scale").glob("*.mp4"):
        assert alike(frames(tmp_path / "h" / "v2" / "full_scale" / path.name), frames(path))


@pytest.mark.parametrize("change", [["--seed", "4"], ["--clips", "9"]])
def test_another_order_in_the_same_folder_is_refused(made, change, capsys):
    arguments = {"--clips": "8", "--seed": "3"} | dict([change])
    assert main(["collect", "hands", *sum(map(list, arguments.items()), []), "--out", str(made)]) == 1
    assert "another --clips or --seed" in capsys.readouterr().err


def test_a_folder_with_anything_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(HandsError, match="holds no videos of hands"):
        list(collect.collect([Order(0, 0, 1)], tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_annotations_are_in_ego4ds_form(made):
    content = json.loads((made / "v2" / "annotations" / "narration.json").read_text())
    assert len(content) == 2
    for uid, video in content.items():
        assert (made / "v2" / "full_scale" / f"{uid}.mp4").is_file()
        for narration in video["narration_pass_1"]["narrations"]:
            assert narration["narration_text"].startswith("#C C ") and narration["timestamp_sec"] >= 0
    assert sum(len(video["narration_pass_1"]["narrations"]) for video in content.values()) == 8
