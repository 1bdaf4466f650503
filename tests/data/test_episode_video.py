"""`gr1 bags video`: the frames of the recording at their times, with trimmed ends dark."""

import av
import numpy as np

from gr1_core.cli import main
from gr1_core.data.marks import trim_bag
from tests.data.bag_fixture import Recording, demonstration


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_frames_come_at_their_times_and_the_trimmed_end_is_dark(tmp_path, capsys):
    made = demonstration(1, 20)
    made.messages = [message for message in made.messages if "/camera/" not in message[1]]
    for at in range(0, 2100, 50):
        level = 60 if at < 1000 else 220
        for role in ("static", "wrist"):
            made.frame(at, role, np.full((90, 160, 3), level, np.uint8), "jpeg")
    bag = made.save(tmp_path / "bag", instruction="lift the cup")
    trim_bag(bag, end_s=1.5)
    out = tmp_path / "v.mp4"
    assert main(["bags", "video", str(bag), str(bag), "--out", str(out), "--fps", "10"]) == 0
    assert "2 episodes" in capsys.readouterr().out
    frames = decoded(out)
    middle = [int(frame[200:240, 200:240].mean()) for frame in frames[: len(frames) // 2]]
    assert frames[0].shape == (520, 960, 3) and len(middle) in (21, 22)
    assert all(abs(level - 60) < 8 for level in middle[:10])
    assert all(abs(level - 220) < 8 for level in middle[12:15])
    assert all(level < 90 for level in middle[16:])
    assert frames[3][:44].max() > 180, "the instruction is written above"


def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, capsys):
    bag = str(demonstration(1, 5).save(tmp_path / "bag"))
    for out, words in (("v.avi", "does not end in .mp4"), ("none/v.mp4", "no folder")):
        assert main(["bags", "video", bag, "--out", str(tmp_path / out)]) == 1
        assert words in capsys.readouterr().err
    recording = Recording()
    recording.arm(0)
    recording.arm(100)
    blind = str(recording.save(tmp_path / "blind"))
    assert main(["bags", "video", blind, "--out", str(tmp_path / "v.mp4")]) == 1
    assert "no image of any camera" in capsys.readouterr().err and not (tmp_path / "v.mp4").exists()
