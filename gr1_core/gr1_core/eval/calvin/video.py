"""Writes a video frame by frame."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np


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
