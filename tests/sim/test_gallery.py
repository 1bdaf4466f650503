"""Videos and GIFs for documents keep their frames and their colours."""

import av
import numpy as np
from PIL import Image

from gr1_core.sim.gallery import add_caption, write_gif, write_mp4


def frames():
    """A small red square crossing a large grey image, with a caption: twelve frames u8[100, 160, 3]."""
    for step in range(12):
        image = np.full((80, 160, 3), (190, 192, 196), np.uint8)
        image[30:45, 10 * step : 10 * step + 15] = (210, 30, 20)
        yield add_caption(image, "a square", 20)


def test_a_video_can_be_read_back(tmp_path):
    written = list(frames())
    write_mp4(tmp_path / "video.mp4", written, 20)
    with av.open(str(tmp_path / "video.mp4")) as container:
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(read) == 12 and read[0].shape == (100, 160, 3)
    assert np.abs(read[5][:28].astype(int) - written[5][:28]).mean() < 6


def test_a_gif_keeps_the_colour_of_small_objects(tmp_path):
    written = list(frames())
    write_gif(tmp_path / "video.gif", written, 10, width=160)
    with Image.open(tmp_path / "video.gif") as video:
        assert video.n_frames == 12 and video.size == (160, 100)
        video.seek(5)
        pixel = np.asarray(video.convert("RGB"))[37, 57]
    assert np.abs(pixel.astype(int) - (210, 30, 20)).max() < 30
