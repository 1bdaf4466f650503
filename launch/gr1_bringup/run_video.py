"""Video of a run: static camera | wrist camera | predicted frames, with the instruction below."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image as Canvas
from PIL import ImageDraw, ImageFont
from sensor_msgs.msg import Image

from gr1_common.messages import msg_to_image
from gr1_common.qos import SENSOR
from gr1_common.scheduling import lower_scheduling_priority
from gr1_common.stack_monitor import StackMonitor
from gr1_common.text import printable

FPS, CODEC = 10, "libx264"
HEIGHT, BAR = 360, 40
TOPICS = (
    "camera/static/image_raw",
    "camera/wrist/image_raw",
    "policy/predicted/static",
    "policy/predicted/wrist",
)
_SIZES = ((640, HEIGHT), (480, HEIGHT), (HEIGHT // 2, HEIGHT // 2), (HEIGHT // 2, HEIGHT // 2))
_CAMERAS = 640 + 480


def check_writable(file: Path) -> None:
    """Raises ValueError when `file` does not end in a container format for H.264. Writes no frame."""
    with av.open(str(file), "w") as container:
        container.add_stream(CODEC, rate=FPS)


class Video:
    """Writes H.264 at 10 frames a second from `start()` until `close()`; the file exists once `close()` has
    returned.

    predicted: caption of the predicted frames; empty: the video shows the cameras only.
    say: gets one line when the file cannot be written any more (a full disk); `whole` is false then.
    """

    def __init__(self, file: Path, monitor: StackMonitor, predicted: str, say: Callable[[str], None] = print):
        self.file, self.whole, self._say = file, False, say
        self._titles = ["static camera", "wrist camera", *([predicted] if predicted else [])]
        self._topics = TOPICS if predicted else TOPICS[:2]
        self._width = _CAMERAS + (HEIGHT // 2 if predicted else 0)
        self._monitor, self._newest = monitor, {}
        self._ended = threading.Event()
        self._font, self._small = ImageFont.load_default(20), ImageFont.load_default(14)
        for topic in self._topics:
            monitor.node.create_subscription(
                Image, topic, lambda message, topic=topic: self._newest.update({topic: message}), SENSOR
            )
        self._thread = threading.Thread(target=self._run, name="video", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        lower_scheduling_priority()
        try:
            self.whole = self._write() > 0
        except (OSError, ValueError, av.FFmpegError) as error:
            then = "" if self._ended.is_set() else "; the run goes on"
            self._say(f"video stopped: {getattr(error, 'strerror', None) or error}{then}")

    def _write(self) -> int:
        frames = 0
        with av.open(str(self.file), "w") as container:
            stream = container.add_stream(CODEC, rate=FPS, options={"preset": "veryfast", "crf": "23"})
            stream.width, stream.height, stream.pix_fmt = self._width, HEIGHT + BAR, "yuv420p"
            due = time.monotonic()
            while not self._ended.wait(max(0.0, due - time.monotonic())):
                # A loaded machine shows a frame twice as long rather than running late.
                due = max(due + 1 / FPS, time.monotonic())
                container.mux(stream.encode(av.VideoFrame.from_ndarray(self._frame(), format="rgb24")))
                frames += 1
            container.mux(stream.encode())
        return frames

    def _frame(self) -> np.ndarray:
        tiles = []
        for topic, (width, height) in zip(self._topics, _SIZES):
            message = self._newest.get(topic)
            tile = np.zeros((height, width, 3), np.uint8) if message is None else msg_to_image(message)
            tiles.append(
                tile
                if tile.shape[:2] == (height, width)
                else cv2.resize(tile, (width, height), interpolation=cv2.INTER_AREA)
            )
        row = np.hstack([*tiles[:2], *([np.vstack(tiles[2:])] if tiles[2:] else [])])
        canvas = Canvas.fromarray(np.vstack([row, np.zeros((BAR, self._width, 3), np.uint8)]))
        draw = ImageDraw.Draw(canvas)
        for title, left in zip(self._titles, (0, 640, _CAMERAS)):
            draw.text(
                (left + 8, 6), title, font=self._small, fill="white", stroke_width=2, stroke_fill="black"
            )
        draw.text(
            (12, HEIGHT + 8), printable(self._monitor.snapshot().instruction), font=self._font, fill="white"
        )
        return np.asarray(canvas)
