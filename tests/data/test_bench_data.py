import json
import sys
from pathlib import Path

import numpy as np
import pytest

from gr1_core import images
from gr1_core.bench import data as bench
from gr1_core.data.dataset import Dataset

from . import sets


def smooth(image):
    return np.repeat(image[:1, :1], image.shape[0], 0).repeat(image.shape[1], 1)


@pytest.fixture
def coloured(tmp_path):
    """Each frame of one colour of its own, so that a video's loss does not hide which frame it is."""
    sets.demonstrations(tmp_path / "set", (9, 14, 6), encode=lambda image: images.encode_jpeg(smooth(image)))
    return Dataset(tmp_path / "set")


def test_the_copy_holds_the_same_bytes_of_the_first_episodes(coloured, tmp_path):
    copy = bench.copy_beginning(coloured, 25, tmp_path / "copy")
    assert copy.episodes["end"].tolist() == [9, 23]
    assert np.array_equal(copy.action, coloured.action[:23])
    assert all(
        copy.encoded(role, row) == coloured.encoded(role, row)
        for role in copy.roles
        for row in range(copy.length)
    )


def test_the_mp4_gives_the_frames_of_the_window(coloured, tmp_path):
    video = bench.Mp4(coloured, tmp_path)
    for frames in ([0, 1, 2], [7, 8, 8, 8], [13, 14, 15], [28, 28]):
        found = video.read(np.array(frames))
        for role, camera in coloured.cameras.items():
            expected = np.stack([camera.view(coloured.image(role, row)) for row in frames])
            assert found[role].shape == expected.shape
            assert np.abs(found[role].astype(int) - expected).mean() < 10


def test_the_last_line_is_the_json_document(coloured, capsys, monkeypatch):
    monkeypatch.setattr(bench, "CHUNK_S", 0.01)
    bench.run(coloured.root, threads=2, frames=30, rounds=1, lerobot=None)
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(document["windows_per_cpu_s"]) == {"encoded", "decoded", "mp4"}
    rates = document["windows_per_cpu_s"]
    assert document["ratio_mp4"] == pytest.approx(rates["encoded"] / rates["mp4"], rel=0.1)
    assert document["ratio_lerobot"] is None
    assert document["frames"] == 29


def test_videos_without_a_robot_can_be_measured_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "CHUNK_S", 0.01)
    sets.videos(tmp_path / "set")
    bench.run(tmp_path / "set", threads=1, frames=20, rounds=1, lerobot=None)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["frames"] == 30  # one episode at least


def test_an_interpreter_without_lerobot_is_named(coloured):
    with pytest.raises(
        OSError, match=r"could not read the dataset through lerobot: .*No module named 'lerobot'"
    ):
        bench.run(coloured.root, threads=1, frames=30, rounds=1, lerobot=Path(sys.executable))
