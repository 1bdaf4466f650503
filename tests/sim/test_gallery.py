"""The films that documents show keep their frames and their colours."""

import av
import numpy as np
from PIL import Image

from gr1_core.sim.gallery import caption, write_gif, write_mp4


def frames():
    """A small red square crossing a large grey picture, with a caption: twelve frames u8[100, 160, 3]."""
    for step in range(12):
        picture = np.full((80, 160, 3), (190, 192, 196), np.uint8)
        picture[30:45, 10 * step : 10 * step + 15] = (210, 30, 20)
        yield caption(picture, "a square", 20)


def test_a_film_can_be_read_back(tmp_path):
    drawn = list(frames())
    write_mp4(tmp_path / "film.mp4", drawn, 20)
    with av.open(str(tmp_path / "film.mp4")) as container:
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(read) == 12 and read[0].shape == (100, 160, 3)
    assert np.abs(read[5][:28].astype(int) - drawn[5][:28]).mean() < 6


def test_a_gif_keeps_the_colour_of_small_things(tmp_path):
    drawn = list(frames())
    write_gif(tmp_path / "film.gif", drawn, 10, width=160)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 12 and film.size == (160, 100)
        film.seek(5)
        pixel = np.asarray(film.convert("RGB"))[37, 57]
    assert np.abs(pixel.astype(int) - (210, 30, 20)).max() < 30
