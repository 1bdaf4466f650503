"""A trial's video from the static camera's JPEGs. ROS-free."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import av

from gr1_core import images

FPS, CODEC = 10, "libx264"


class TrialVideo:
    """Writes H.264 at FPS in a thread of its own from the beginning until `close`.

    newest(): the newest JPEG. A video that cannot be written costs no trial: `problem` says why.
    """

    def __init__(self, file: Path, newest: Callable[[], bytes]):
        self._file, self._newest, self.problem = file, newest, ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trial video", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._write()
        except (OSError, ValueError, av.FFmpegError) as error:
            self.problem = str(error)

    def _write(self) -> None:
        with av.open(str(self._file), "w") as container:
            stream, due = None, time.monotonic()
            while not self._ended.wait(max(0.0, due - time.monotonic())):
                due = max(due + 1 / FPS, time.monotonic())
                image = images.decode(self._newest())
                height, width = (size // 2 * 2 for size in image.shape[:2])
                if stream is None:
                    options = {"preset": "veryfast", "crf": "24"}
                    stream = container.add_stream(CODEC, rate=FPS, options=options)
                    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                frame = av.VideoFrame.from_ndarray(image[:height, :width].copy(), format="rgb24")
                container.mux(stream.encode(frame))
            if stream:
                container.mux(stream.encode())
