"""Reads frames of a video at given times.

Each is decoded once; long gaps are skipped; damaged parts become gaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

MICRO = 1_000_000  # times are whole microseconds, so that equal ones are equal
JUMP = 10 * MICRO
"""A shorter gap is decoded: a jump goes back to a key frame, and key frames are seconds apart."""


class VideoError(ValueError):
    """A video that cannot be opened or has no frame."""


@contextmanager
def open_video(path: Path):
    """The container and its first video stream. Raises VideoError."""
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(
            f"cannot be opened ({error.strerror or error}): damaged or an unfinished download"
        ) from error
    with container:
        if not container.streams.video:
            raise VideoError("has no video stream")
        stream = container.streams.video[0]
        # One thread: several processes run in parallel, and threads conceal damage in varying ways.
        stream.codec_context.thread_count = 1
        yield container, stream


def nearest_frames(
    container, stream, times: list[int], tolerance: int
) -> Iterator[tuple[int, av.VideoFrame | None]]:
    """For each time (microseconds, ascending): the nearest intact frame, or None if there is none within the
    tolerance.

    Neighbouring times may get the same frame; it is then the same object.
    """
    decoded, last = _frames(container, stream), None
    ahead = next(decoded, None)
    for time in times:
        if ahead is not None and time - _time(ahead) > JUMP:
            decoded, last = _frames(container, stream, time), None
            ahead = next(decoded, None)
        while ahead is not None and _time(ahead) < time:
            last, ahead = ahead, next(decoded, None)
        near = min(
            (frame for frame in (last, ahead) if frame is not None),
            key=lambda frame: abs(_time(frame) - time),
            default=None,
        )
        yield time, near if near is not None and abs(_time(near) - time) <= tolerance else None


def _frames(container, stream, start: int | None = None) -> Iterator[av.VideoFrame]:
    """Intact frames from the key frame before `start` on; damaged packets are skipped."""
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
