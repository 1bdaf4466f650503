"""Short clips out of a long video, in one pass, however many of them overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from gr1_core import images
from gr1_core.data.convert.sources.video import MICRO, VideoError, nearest, opened


@dataclass
class Clip:
    """Its frames as JPEG, and the seconds in the video at which it starts and ends."""

    name: str
    pictures: list[bytes]
    seconds: tuple[float, float]


@dataclass
class NoClip:
    """A moment around which there is no clip, and why."""

    name: str
    reason: str


def cut(
    path: Path, moments: Sequence[tuple[str, float]], seconds: float, frames: int, side: int
) -> Iterator[Clip | NoClip]:
    """A clip of `frames` evenly spaced frames around every moment (name, seconds), by time.

    A clip is centred on its moment, or as near to it as the video's ends allow. Each frame is the nearest in time, its centred
    square scaled to `side` pixels, JPEG of quality 95 in full colour resolution. A moment after the video's end gives no clip.
    """
    with opened(path) as (container, stream):
        end = _end(container, stream)
        steps = [round(MICRO * seconds * step / (frames - 1)) for step in range(frames)]
        waiting = deque()
        for name, moment in sorted(moments, key=lambda item: item[1]):
            if moment > end or end < seconds:
                yield NoClip(
                    name,
                    f"{end:.1f} s long, too short for {seconds:g} s around its narration at {moment:.1f} s",
                )
            else:
                waiting.append((name, round(MICRO * min(max(moment - seconds / 2, 0.0), end - seconds))))
        times = sorted({start + step for _, start in waiting for step in steps})
        pictures: dict[int, bytes | None] = {}
        newest = (None, None)
        for time, frame in nearest(container, stream, times, steps[1] // 2):
            if frame is not newest[0]:
                newest = (frame, frame and images.encode_jpeg(square(frame, side)))
            pictures[time] = newest[1]
            while waiting and waiting[0][1] + steps[-1] <= time:
                name, start = waiting.popleft()
                gap = next((start + step for step in steps if pictures[start + step] is None), None)
                if gap is None:
                    yield Clip(
                        name,
                        [pictures[start + step] for step in steps],
                        (start / MICRO, (start + steps[-1]) / MICRO),
                    )
                else:
                    yield NoClip(
                        name, f"no picture can be decoded at {gap / MICRO:.1f} s: damaged or truncated"
                    )
                pictures = {at: data for at, data in pictures.items() if waiting and at >= waiting[0][1]}


def square(frame: av.VideoFrame, side: int) -> np.ndarray:
    """The centred square of a frame, scaled to u8[side, side, 3] RGB."""
    scale = side / min(frame.width, frame.height)
    width, height = max(side, round(frame.width * scale)), max(side, round(frame.height * scale))
    image = frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _end(container, stream) -> float:
    """The time of the last frame, in seconds, as the file's header tells it."""
    if stream.duration is not None:
        length = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    elif container.duration is not None:
        length = container.duration / av.time_base
    else:
        raise VideoError("its header tells no duration: remux it with `ffmpeg -i in.mp4 -c copy out.mp4`")
    return length - 1 / float(stream.average_rate or 30)
