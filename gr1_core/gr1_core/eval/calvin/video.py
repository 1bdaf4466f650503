"""Writes a video frame by frame, and reads the images of a recorded chain from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

SIDE, LINE = 240, 22
"""px of a recorded chain's video: each image, and the line of titles above it."""


def write_mp4(path: Path, frames: Iterable[np.ndarray], rate: int) -> None:
    """frames: u8[h, w, 3] of one size with even sides -> H.264 at `rate` frames a second."""
    import av

    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width, stream.pix_fmt = *frame.shape[:2], "yuv420p"
                stream.options = {"crf": "20", "preset": "fast"}
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
            )
        if stream:
            container.mux(stream.encode())


def tiles_of(path: Path) -> Iterator[list[np.ndarray]]:
    """The images of each frame of a recorded chain, u8[SIDE, SIDE, 3]: static and wrist camera, then both as
    predicted if the video has them.
    """
    import av

    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            row = frame.to_ndarray(format="rgb24")[LINE : LINE + SIDE]
            yield [row[:, left : left + SIDE] for left in range(0, row.shape[1] - SIDE + 1, SIDE)]
