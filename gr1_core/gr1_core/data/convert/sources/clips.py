"""Cuts short clips out of a long video in one pass; clips may overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from gr1_core import images
from gr1_core.data.convert.sources import video
from gr1_core.data.convert.sources.video import MICRO, NoFrame, VideoError, nearest_frames, open_video


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
    path: Path, moments: Sequence[tuple[str, float]], seconds: float, frames: int, side: int, stereo: bool
) -> Iterator[Clip | MissingClip]:
    """A clip of `frames` evenly spaced frames around every moment (name, seconds), by time.

    A clip is centred on its moment, or as close to it as the ends of the video allow. Each frame is the
    nearest in time, its centred square scaled to `side` pixels, JPEG of quality 95 in full colour resolution.
    A moment after the end of the video, or long before its first frame, has no clip. stereo: the video is
    known to show two eyes side by side.
    """
    with open_video(path) as (container, stream):
        begin, end = _ends(container, stream)
        steps = [round(MICRO * seconds * step / (frames - 1)) for step in range(frames)]
        waiting = deque()
        for name, moment in sorted(moments, key=lambda item: item[1]):
            if moment > end or end - begin < seconds:
                yield MissingClip(
                    name,
                    f"{end:.1f} s long, too short for {seconds:g} s around its narration at {moment:.1f} s",
                )
            elif moment < begin - seconds / 2:
                yield MissingClip(
                    name, f"its first frame is at {begin:.1f} s, after its narration at {moment:.1f} s"
                )
            else:
                start = min(max(moment - seconds / 2, begin), end - seconds)
                waiting.append((name, round(MICRO * start)))
        times = sorted({start + step for _, start in waiting for step in steps})
        encoded: dict[int, bytes | NoFrame] = {}
        newest = (None, None)
        square = Square(side, stereo, float(stream.sample_aspect_ratio or 1), video.stereo_packing(path))
        for time, frame in nearest_frames(container, stream, times, steps[1] // 2):
            if frame is not newest[0]:
                found = frame if isinstance(frame, NoFrame) else images.encode_jpeg(square.of(frame))
                newest = (frame, found)
            encoded[time] = newest[1]
            while waiting and waiting[0][1] + steps[-1] <= time:
                name, start = waiting.popleft()
                wanted = [start + step for step in steps]
                gap = next((at for at in wanted if isinstance(encoded[at], NoFrame)), None)
                if gap is None:
                    yield Clip(
                        name,
                        [encoded[at] for at in wanted],
                        (start / MICRO, (start + steps[-1]) / MICRO),
                    )
                else:
                    yield MissingClip(name, encoded[gap].reason(gap))
                encoded = {at: data for at, data in encoded.items() if waiting and at >= waiting[0][1]}


class Square:
    """Frames of one video -> the centred square of what people see, u8[side, side, 3] RGB.

    stereo: two eyes side by side. A video that is not declared stereo is taken as such if its frames are very
    wide and both halves show the same. aspect: width of a pixel by its height.
    packing: of `video.stereo_packing`.
    """

    def __init__(self, side: int, stereo: bool, aspect: float, packing: bytes | None):
        self._side, self._stereo, self._aspect = side, stereo or None, aspect or 1.0
        self._packing = packing

    def of(self, frame: av.VideoFrame) -> np.ndarray:
        box = video.eye_box(frame.width, frame.height, self._packing)
        if box is None and self._is_stereo(frame):
            box = 0, 0, frame.width // 2, frame.height
        # Pixels that are not square are stretched; halves that were squeezed to the shape of one eye, too.
        aspect = self._aspect
        if box is None:
            return video.upright(_centred(frame, self._side, aspect), frame)
        left, top, width, height = box
        image = frame.to_ndarray(format="rgb24")[top : top + height, left : left + width]
        if width * aspect < height:
            aspect *= 2
        return video.upright(_square(image, self._side, aspect), frame)

    def _is_stereo(self, frame: av.VideoFrame) -> bool:
        if self._stereo is None and frame.width >= 2.4 * frame.height:
            self._stereo = video.looks_side_by_side(frame.to_ndarray(format="rgb24"))
        return bool(self._stereo)


def _centred(frame: av.VideoFrame, side: int, aspect: float) -> np.ndarray:
    """Scaled while it is converted to RGB, which is faster than afterwards."""
    width, height = _scaled(frame.width, frame.height, side, aspect)
    image = frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
    return _cut(image, side)


def _square(image: np.ndarray, side: int, aspect: float) -> np.ndarray:
    size = _scaled(image.shape[1], image.shape[0], side, aspect)
    return _cut(cv2.resize(image, size, interpolation=cv2.INTER_AREA), side)


def _scaled(width: int, height: int, side: int, aspect: float) -> tuple[int, int]:
    """(width, height) whose shorter one is `side`. aspect: width of a pixel by its height."""
    scale = side / min(width * aspect, height)
    return max(side, round(width * aspect * scale)), max(side, round(height * scale))


def _cut(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _ends(container, stream) -> tuple[float, float]:
    """The times of the first and the last frame in seconds, from the file's header or else its packets."""
    begin = float((stream.start_time or 0) * stream.time_base)
    if stream.duration is not None:
        length = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        length = container.duration / av.time_base - max(
            begin - (container.start_time or 0) / av.time_base, 0
        )
    else:
        times = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
        container.seek(0)
        if not times:
            raise VideoError("has no frame: damaged or an unfinished download")
        return float(min(times) * stream.time_base), float(max(times) * stream.time_base)
    return begin, begin + length - 1 / float(stream.average_rate or 30)
