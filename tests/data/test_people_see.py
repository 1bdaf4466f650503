"""Videos as people see them, narrations as annotators write them, annotations that are no texts."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from gr1_core import images
from gr1_core.data.convert.sources import ego4d, video
from gr1_core.data.convert.sources.calvin import CalvinSource, read_spans
from gr1_core.data.convert.sources.ego4d import Ego4DSource, clean_narration
from gr1_core.data.convert.sources.source import Skipped, SourceError

from . import calvin_fixture, ego4d_fixture

UID = ego4d_fixture.UIDS[0]


def frame_image(seconds, height=120, width=160):
    """Grey level 10 + 20 * seconds, with a red bar along the top edge."""
    image = np.full((height, width, 3), round(10 + 20 * seconds), np.uint8)
    image[: height // 6] = (250, 20, 20)
    return image


def told(image):
    middle = image[image.shape[0] // 2 : -image.shape[0] // 8, image.shape[1] // 4 : -image.shape[1] // 4]
    return (float(middle.mean()) - 10) / 20


def write(path, times, draw=frame_image, start=0.0, options=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        usual = {"crf": "6", "g": "10", "bf": "0", "preset": "ultrafast"}
        stream = container.add_stream("libx264", rate=30, options=usual | (options or {}))
        first = draw(times[0])
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            frame = av.VideoFrame.from_ndarray(draw(time), format="rgb24")
            frame.pts, frame.time_base = round(1000 * (time + start)), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def turn(path, a, b, c, d):
    """Writes a display matrix into the track header of an mp4."""
    data, one = bytearray(path.read_bytes()), 0x10000
    at = data.index(b"tkhd") + 44
    struct.pack_into(">9i", data, at, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 0x40000000)
    path.write_bytes(data)


@pytest.fixture
def clips(tmp_path):
    """Narrations (time, text) of the video at `path` -> episodes, skipped."""
    (tmp_path / "v2/annotations").mkdir(parents=True)
    path = tmp_path / "v2/full_scale" / f"{UID}.mp4"

    def cut(*narrations):
        ego4d_fixture.write_narrations(tmp_path, {UID: [*narrations, (1e6, "#C C ends")]})
        source = Ego4DSource(tmp_path)
        items = [item for unit in source.units() for item in source.read(unit)]
        lost = [item for item in items if isinstance(item, Skipped) and "1000000" not in item.reason]
        return [item for item in items if not isinstance(item, Skipped)], lost

    return path, cut


SIDES = {
    "top": np.s_[:20, 40:-40],
    "right": np.s_[40:-40, -20:],
    "bottom": np.s_[-20:, 40:-40],
    "left": np.s_[40:-40, :20],
}


@pytest.mark.parametrize(
    "matrix, side",
    [
        ((1, 0, 0, 1), "top"),
        ((0, 1, -1, 0), "right"),
        ((-1, 0, 0, -1), "bottom"),
        ((0, -1, 1, 0), "left"),
        ((1, 0, 0, -1), "bottom"),
        ((-1, 0, 0, 1), "top"),
    ],
)
def test_a_video_is_turned_as_players_show_it(clips, matrix, side):
    path, cut = clips
    write(path, np.arange(120) / 30)
    turn(path, *matrix)
    (episode,), _ = cut((2.0, "#C C cuts"))
    shown = images.decode(episode.images["static"][0]).astype(int)
    red = {name: (shown[where][..., 0] - shown[where][..., 1]).mean() for name, where in SIDES.items()}
    assert max(red, key=red.get) == side


def test_a_mirrored_video_is_mirrored(clips):
    path, _ = clips
    write(
        path,
        [0.0, 0.1],
        lambda t: np.repeat(np.repeat(np.array([[[200] * 3, [20] * 3]], np.uint8), 64, 0), 32, 1),
    )
    turn(path, -1, 0, 0, 1)
    with video.open_video(path) as (container, stream):
        shown = video.view(next(container.decode(stream)))
    assert shown[:, :20].mean() < 60 < 150 < shown[:, -20:].mean()


def test_a_turn_that_is_none_of_the_quarter_turns_is_named(clips):
    path, cut = clips
    write(path, np.arange(120) / 30)
    data = bytearray(path.read_bytes())
    half = round(0.7071 * 0x10000)
    struct.pack_into(">5i", data, data.index(b"tkhd") + 44, half, half, 0, -half, half)
    path.write_bytes(data)
    with pytest.raises(SourceError, match="only quarter turns are supported"):
        cut((2.0, "#C C cuts"))


def eyes(seconds):
    """Two eyes side by side: a vertical bar at two thirds of each, on a slope of greys."""
    one = frame_image(seconds, 120, 160)
    one[20:, 100:120] = (20, 200, 20)
    return np.concatenate([one, one], 1)


@pytest.mark.parametrize("options", [{}, {"x264-params": "frame-packing=3"}], ids=["undeclared", "declared"])
def test_one_eye_of_a_stereo_video_is_taken(clips, options):
    path, cut = clips
    write(path, np.arange(120) / 30, eyes, options=options)
    (episode,), _ = cut((2.0, "#C C cuts"))
    shown = images.decode(episode.images["static"][0]).astype(int)
    green = (shown[112:, :, 1] - shown[112:, :, 0]).mean(0) > 60
    assert np.diff(np.flatnonzero(green)).max() == 1, "one bar, not two"
    assert 0.55 < np.flatnonzero(green).mean() / 224 < 0.85


def test_the_upper_eye_of_a_video_declared_top_and_bottom(clips):
    path, cut = clips
    write(
        path,
        np.arange(120) / 30,
        lambda t: np.concatenate([frame_image(t), frame_image(t + 5)]),
        options={"x264-params": "frame-packing=4"},
    )
    (episode,), _ = cut((2.0, "#C C cuts"))
    assert abs(told(images.decode(episode.images["static"][0])) - 0.5) < 0.2


def test_a_wide_video_of_one_eye_stays_whole(clips):
    path, cut = clips
    slope = np.linspace(20, 220, 320).astype(np.uint8)
    write(path, np.arange(120) / 30, lambda t: np.repeat(np.repeat(slope[None, :, None], 120, 0), 3, 2))
    (episode,), _ = cut((2.0, "#C C cuts"))
    shown = images.decode(episode.images["static"][0])
    assert 75 < shown[100, :10].mean() < shown[100, -10:].mean() < 165, "the middle of the whole image"


@pytest.mark.parametrize("start", [0.4, 2.0, 3600.0])
def test_a_video_that_starts_late(clips, start):
    path, cut = clips
    write(path, np.arange(300) / 30, start=start)
    (first, second), lost = cut((start + 0.1, "#C C cuts"), (start + 6, "#C C sits"))
    assert not lost and abs(first.info["seconds"][0] - start) < 0.05
    shown = [told(images.decode(data)) for data in first.images["static"]]
    np.testing.assert_allclose(shown, np.arange(10) / 3, atol=0.1)


def test_a_narration_long_before_the_first_frame_is_named(clips):
    path, cut = clips
    write(path, np.arange(300) / 30, start=5.0)
    episodes, (lost,) = cut((1.0, "#C C cuts"), (8.0, "#C C sits"))
    assert len(episodes) == 1 and "its first frame is at 5.0 s, after its narration at 1.0 s" in lost.reason


def test_a_variable_rate_is_met_by_time(clips):
    path, cut = clips
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.09, 200))
    write(path, times)
    (episode,), lost = cut((4.0, "#C C cuts"))
    begin = episode.info["seconds"][0]
    shown = [told(images.decode(data)) for data in episode.images["static"]]
    np.testing.assert_allclose(shown, begin + np.arange(10) / 3, atol=0.12)


def test_a_hole_is_called_a_hole(clips):
    path, cut = clips
    write(path, np.concatenate([np.arange(120) / 30, 7 + np.arange(120) / 30]))
    episodes, (lost,) = cut((2.0, "#C C cuts"), (5.0, "#C C sits"))
    assert len(episodes) == 1 and "the video has a hole from 3.97 s to 7.00 s" in lost.reason


@pytest.mark.parametrize(
    "said, clean",
    [
        ("#C C picks up the #unsure.", "picks up something"),
        ("# C C picks up # Unsure", "picks up something"),
        ("#c c cuts an onion", "cuts an onion"),
        ("C: opens the [unsure]", "opens something"),
        ("#C C puts the <unsure> down", "puts something down"),
        ("#O A man X opens the door", "A man X opens the door"),
        ("#C C stirs salt &amp; pepper #summary", "stirs salt & pepper"),
        ("#unsure", ""),
    ],
)
def test_tags_of_annotators(said, clean):
    assert clean_narration(said) == clean


@pytest.mark.parametrize(
    "value, said", [(7, "is 7 (int)"), ([], "empty list"), ({"a": 1}, "(dict)"), (True, "(bool)")]
)
def test_narrations_that_are_no_texts_are_named(clips, value, said):
    path, cut = clips
    write(path, np.arange(120) / 30)
    episodes, (lost,) = cut((1.0, value), (2.0, "#C C cuts"))
    assert len(episodes) == 1 and said in lost.reason


def test_a_narration_that_is_too_long_is_named(clips):
    path, cut = clips
    write(path, np.arange(120) / 30)
    episodes, (lost,) = cut((1.0, "#C C moves " + "the red plastic bucket and " * 30), (2.0, "#C C cuts"))
    assert len(episodes) == 1 and "tokens, the text encoder takes 75" in lost.reason
    assert ego4d.FRAMES == 10


@pytest.mark.parametrize(
    "text, said",
    [
        (None, "is None"),
        (3.5, "is 3.5 (float)"),
        ([], "empty list"),
        (["open the drawer", "pull it"], "open the drawer"),
        (np.array(["slide it", "push it"]), "slide it"),
        ("  open \\n the   drawer ", "open the drawer"),
    ],
)
def test_calvins_annotations_that_are_no_texts(tmp_path, text, said):
    root = calvin_fixture.make(tmp_path, spans=2, length=15)
    path = root / "training/lang_annotations/auto_lang_ann.npy"
    content = np.load(path, allow_pickle=True).item()
    content["language"]["ann"] = [text.replace("\\n", "\n") if isinstance(text, str) else text, "close it"]
    np.save(path, content, allow_pickle=True)
    assert len(read_spans(path)) == 2
    source = CalvinSource(root)
    first, second = [item for unit in source.units() for item in source.read(unit)]
    assert second.task == "close it"
    assert said in first.reason if isinstance(first, Skipped) else first.task == said
