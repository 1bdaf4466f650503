"""Cuts short clips out of a long video in one pass; clips may overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from gr1_core import images
from gr1_core.data.convert.sources.video import MICRO, VideoError, nearest_frames, open_video


@dataclass
class Clip:
    """frames: JPEG. seconds: start and end in the video."""

    name: str
    frames: list[bytes]
    seconds: tuple[float, float]


@dataclass
class MissingClip:
    """A moment without a clip, and the reason."""

    name: str
    reason: str


def cut_clips(
    path: Path, moments: Sequence[tuple[str, float]], seconds: float, frames: int, side: int
) -> Iterator[Clip | MissingClip]:
    """A clip of `frames` evenly spaced frames around every moment (name, seconds), by time.

    A clip is centred on its moment, or as close to it as the ends of the video allow. Each frame is the
    nearest in time, its centred square scaled to `side` pixels, JPEG of quality 95 in full colour resolution.
    A moment after the end of the video has no clip.
    """
    with open_video(path) as (container, stream):
        end = _end(container, stream)
        steps = [round(MICRO * seconds * step / (frames - 1)) for step in range(frames)]
        waiting = deque()
        for name, moment in sorted(moments, key=lambda item: item[1]):
            if moment > end or end < seconds:
                yield MissingClip(
                    name,
                    f"{end:.1f} s long, too short for {seconds:g} s around its narration at {moment:.1f} s",
                )
            else:
                waiting.append((name, round(MICRO * min(max(moment - seconds / 2, 0.0), end - seconds))))
        times = sorted({start + step for _, start in waiting for step in steps})
        encoded: dict[int, bytes | None] = {}
        newest = (None, None)
        for time, frame in nearest_frames(container, stream, times, steps[1] // 2):
            if frame is not newest[0]:
                newest = (frame, frame and images.encode_jpeg(centred_square(frame, side)))
            encoded[time] = newest[1]
            while waiting and waiting[0][1] + steps[-1] <= time:
                name, start = waiting.popleft()
                gap = next((start + step for step in steps if encoded[start + step] is None), None)
                if gap is None:
                    yield Clip(
                        name,
                        [encoded[start + step] for step in steps],
                        (start / MICRO, (start + steps[-1]) / MICRO),
                    )
                else:
                    yield MissingClip(
                        name, f"no frame can be decoded at {gap / MICRO:.1f} s: damaged or truncated"
                    )
                encoded = {at: data for at, data in encoded.items() if waiting and at >= waiting[0][1]}


def centred_square(frame: av.VideoFrame, side: int) -> np.ndarray:
    """The centred square of a frame, scaled to u8[side, side, 3] RGB."""
    scale = side / min(frame.width, frame.height)
    width, height = max(side, round(frame.width * scale)), max(side, round(frame.height * scale))
    image = frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _end(container, stream) -> float:
    """The time of the last frame in seconds, from the file's header."""
    if stream.duration is not None:
        length = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    elif container.duration is not None:
        length = container.duration / av.time_base
    else:
        raise VideoError("its header has no duration: remux it with `ffmpeg -i in.mp4 -c copy out.mp4`")
    return length - 1 / float(stream.average_rate or 30)
