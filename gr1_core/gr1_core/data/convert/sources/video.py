"""Frames out of a video at given times, each decoded once, long gaps jumped; what is damaged becomes a gap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

MICRO = 1_000_000  # times are whole microseconds, so that equal ones are equal
JUMP = (
    10 * MICRO
)  # a shorter gap is decoded through: a jump goes back to a key frame, and those lie seconds apart


class VideoError(ValueError):
    """A video that cannot be opened or has no picture in it."""


@contextmanager
def opened(path: Path):
    """-> the container and its first video stream."""
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
        stream.codec_context.thread_count = (
            1  # processes work side by side; threads may conceal damage otherwise each time
        )
        yield container, stream


def nearest(
    container, stream, times: list[int], tolerance: int
) -> Iterator[tuple[int, av.VideoFrame | None]]:
    """For each time (microseconds, ascending): the nearest frame, or None if no whole one lies within the tolerance.

    Neighbouring times may be given the same frame, which is then the same object.
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
    """Frames that decoded whole, from the key frame before `start`; damaged packets are passed over."""
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
