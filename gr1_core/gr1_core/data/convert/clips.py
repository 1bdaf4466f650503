"""Short clips out of a long video, in one pass: each frame is decoded once, however many clips it lies in, and long gaps are jumped."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from gr1_core import images

MICRO = 1_000_000  # times are whole microseconds, so that equal ones are equal
JUMP = 10 * MICRO  # a shorter gap is decoded through: a jump goes back to a key frame, and those lie seconds apart


class VideoError(ValueError):
    """A video that cannot be opened or has no picture in it."""


@dataclass
class Clip:
    """Its frames as JPEG, and the seconds in the video at which it starts and ends."""

    name: str
    pictures: list[bytes]
    seconds: tuple[float, float]


@dataclass
class NoClip:
    name: str
    reason: str


def cut(path: Path, moments: Sequence[tuple[str, float]], seconds: float, frames: int, side: int) -> Iterator[Clip | NoClip]:
    """A clip of `frames` evenly spaced frames around every moment (name, seconds), by time.

    A clip is centred on its moment, or as near to it as the video's ends allow. Each frame is the nearest in time, its centred
    square scaled to `side` pixels, JPEG of quality 95 in full colour resolution. A moment after the video's end gives no clip.
    """
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"cannot be opened ({error.strerror or error}): damaged or an unfinished download") from error
    with container:
        if not container.streams.video:
            raise VideoError("has no video stream")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 2
        end = _end(container, stream)
        steps = [round(MICRO * seconds * step / (frames - 1)) for step in range(frames)]
        waiting = deque()
        for name, moment in sorted(moments, key=lambda item: item[1]):
            if moment > end or end < seconds:
                yield NoClip(name, f"{end:.1f} s long, too short for {seconds:g} s around its narration at {moment:.1f} s")
            else:
                waiting.append((name, round(MICRO * min(max(moment - seconds / 2, 0.0), end - seconds))))
        times = sorted({start + step for _, start in waiting for step in steps})
        pictures: dict[int, bytes | None] = {}
        for time, picture in _nearest(container, stream, times, steps[1] // 2, side):
            pictures[time] = picture
            while waiting and waiting[0][1] + steps[-1] <= time:
                name, start = waiting.popleft()
                gap = next((start + step for step in steps if pictures[start + step] is None), None)
                if gap is None:
                    yield Clip(name, [pictures[start + step] for step in steps], (start / MICRO, (start + steps[-1]) / MICRO))
                else:
                    yield NoClip(name, f"no picture can be decoded at {gap / MICRO:.1f} s: damaged or truncated")
                pictures = {at: data for at, data in pictures.items() if waiting and at >= waiting[0][1]}


def _end(container, stream) -> float:
    """The time of the last frame, in seconds, as the file's header tells it."""
    if stream.duration is not None:
        length = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    elif container.duration is not None:
        length = container.duration / av.time_base
    else:
        raise VideoError("its header tells no duration: remux it with `ffmpeg -i in.mp4 -c copy out.mp4`")
    return length - 1 / float(stream.average_rate or 30)


def _nearest(container, stream, times: list[int], tolerance: int, side: int) -> Iterator[tuple[int, bytes | None]]:
    """For each time (microseconds, ascending): the nearest frame, encoded; None if none lies within the tolerance."""
    decoded, last, encoded = _frames(container, stream), None, (None, b"")
    ahead = next(decoded, None)
    for time in times:
        if ahead is not None and time - _time(ahead) > JUMP:
            decoded, last = _frames(container, stream, time), None
            ahead = next(decoded, None)
        while ahead is not None and _time(ahead) < time:
            last, ahead = ahead, next(decoded, None)
        near = min((frame for frame in (last, ahead) if frame is not None), key=lambda frame: abs(_time(frame) - time), default=None)
        if near is None or abs(_time(near) - time) > tolerance:
            yield time, None
            continue
        if encoded[0] is not near:
            encoded = (near, images.encode_jpeg(square(near, side)))
        yield time, encoded[1]


def _frames(container, stream, start: int | None = None) -> Iterator[av.VideoFrame]:
    """Frames that decoded whole, from the key frame before `start`; damaged packets are passed over, which leaves a gap in time."""
    try:
        if start is not None:
            container.seek(int(start / MICRO / stream.time_base), stream=stream)
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                continue
            yield from (frame for frame in decoded if not frame.is_corrupt and frame.time is not None)
    except av.error.FFmpegError:
        return


def _time(frame: av.VideoFrame) -> int:
    return round(MICRO * frame.time)


def square(frame: av.VideoFrame, side: int) -> np.ndarray:
    """The centred square of a frame, scaled to u8[side, side, 3] RGB."""
    scale = side / min(frame.width, frame.height)
    width, height = max(side, round(frame.width * scale)), max(side, round(frame.height * scale))
    image = frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]
