"""Reads frames of a video at given times, as players show them: turned upright, one eye of a stereo video.

Each is decoded once; long gaps are skipped; damaged parts become gaps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from gr1_core import lfs

MICRO = 1_000_000  # times are whole microseconds, so that equal ones are equal
JUMP = 10 * MICRO
"""A shorter gap is decoded: a jump goes back to a key frame, and key frames are seconds apart."""
_SIDE_BY_SIDE, _TOP_BOTTOM = 1, 2


class VideoError(ValueError):
    """A video that cannot be opened, has no frame, or is packed in a way that is not supported."""


@dataclass(frozen=True)
class NoFrame:
    """No intact frame lies within the tolerance of a time.

    before, after: times of the neighbouring intact frames, None at the ends. damaged: packets between them
    could not be decoded.
    """

    before: int | None
    after: int | None
    damaged: bool

    def reason(self, time: int) -> str:
        """Says what is there instead of a frame at `time` (microseconds)."""
        at = f"{time / MICRO:.2f} s"
        if self.before is None and self.after is None:
            return f"no frame can be decoded at {at}: damaged or truncated"
        if self.damaged:
            return f"no frame can be decoded at {at}: damaged there"
        if self.after is None:
            return f"no frame at {at}: the video ends at {self.before / MICRO:.2f} s, it is truncated"
        if self.before is None:
            return f"no frame at {at}: the video begins at {self.after / MICRO:.2f} s"
        return (
            f"no frame at {at}: the video has a hole from {self.before / MICRO:.2f} s to "
            f"{self.after / MICRO:.2f} s"
        )


@contextmanager
def open_video(path: Path):
    """The container and its first video stream. Raises VideoError."""
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(
            lfs.explain(path, f"cannot be opened ({reason}): damaged or an unfinished download")
        ) from error
    with container:
        if not container.streams.video:
            raise VideoError("has no video stream")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise VideoError("is of an unknown codec: damaged, or a format that FFmpeg cannot decode")
        # One thread: several processes run in parallel, and threads conceal damage in varying ways.
        stream.codec_context.thread_count = 1
        yield container, stream


def nearest_frames(
    container, stream, times: list[int], tolerance: int
) -> Iterator[tuple[int, av.VideoFrame | NoFrame]]:
    """For each time (microseconds, ascending): the nearest intact frame, or NoFrame if there is none within
    the tolerance.

    Neighbouring times may get the same frame; it is then the same object.
    """
    reader = _Reader(container, stream)
    for time in times:
        if reader.ahead is not None and time - _time(reader.ahead) > JUMP:
            reader.seek(time)
        while reader.ahead is not None and _time(reader.ahead) < time:
            reader.advance()
        near = min(
            (frame for frame in (reader.last, reader.ahead) if frame is not None),
            key=lambda frame: abs(_time(frame) - time),
            default=None,
        )
        if near is not None and abs(_time(near) - time) <= tolerance:
            yield time, near
        else:
            yield time, reader.no_frame()


def matched_by_number(path: Path, times: np.ndarray, fps: float) -> tuple[np.ndarray, str]:
    """The times in a video of one episode at which its rows are found, and what is unusual about them, or "".

    times: i64[T] microseconds, the rows' own. Recorders store one frame a row at the nominal rate `fps`, some
    beside timestamps that they measured: then the two run apart, and the number of a row tells its frame.
    """
    with open_video(path) as (container, stream):
        if stream.frames != len(times) or len(times) < 2:
            return times, ""
        try:
            packets = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
        except (av.error.FFmpegError, ValueError):
            return times, ""
        there = np.sort(np.array([round(MICRO * pts * stream.time_base) for pts in packets], np.int64))
    period = MICRO / fps
    if len(there) != len(times) or np.abs(np.diff(there) - period).max() > 0.1 * period:
        return times, ""
    apart = np.abs(there - times)
    if apart[0] > 1.5 * period or apart.max() <= period / 2:
        return times, ""
    return there, (
        f"its frames are {1 / fps:g} s apart and end at {there[-1] / MICRO:.2f} s, the rows' "
        f"timestamps at {times[-1] / MICRO:.2f} s: with one frame a row, frames are found by number"
    )


class _Reader:
    """Two neighbouring intact frames, `last` and `ahead`, that walk through the video."""

    def __init__(self, container, stream):
        self._container, self._stream = container, stream
        self._errors, self._errors_at_last = 0, 0
        self.seek(None)

    def seek(self, time: int | None) -> None:
        self._decoded, self.last, self.ahead = self._frames(time), None, None
        self.advance()

    def advance(self) -> None:
        self.last, self._errors_at_last = self.ahead, self._errors
        self.ahead = next(self._decoded, None)

    def no_frame(self) -> NoFrame:
        times = (None if frame is None else _time(frame) for frame in (self.last, self.ahead))
        return NoFrame(*times, damaged=self._errors > self._errors_at_last)

    def _frames(self, start: int | None) -> Iterator[av.VideoFrame]:
        """Intact frames from the key frame before `start` on; damaged packets are skipped."""
        try:
            if start is not None:
                self._container.seek(int(start / MICRO / self._stream.time_base), stream=self._stream)
            for packet in self._container.demux(self._stream):
                try:
                    decoded = packet.decode()
                except (av.error.FFmpegError, ValueError):
                    self._errors += 1
                    continue
                for frame in decoded:
                    if frame.is_corrupt or frame.time is None:
                        self._errors += 1
                    else:
                        yield frame
        except (av.error.FFmpegError, ValueError):
            self._errors += 1


def _time(frame: av.VideoFrame) -> int:
    return round(MICRO * frame.time)


# What people see


def orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """How a decoded frame is turned for display: (quarter turns counterclockwise, mirrored first).

    Raises VideoError for a turn that is not a multiple of 90 degrees.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0, False
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    x_axis, y_axis = (int(np.sign(a)), int(np.sign(b))), (int(np.sign(c)), int(np.sign(d)))
    for mirrored in (False, True):
        for turns in range(4):
            if _axes(turns, mirrored) == (x_axis, y_axis):
                return turns, mirrored
    raise VideoError(
        f"is turned by {frame.rotation} degrees for display, only quarter turns are supported: re-encode it "
        "with ffmpeg, which turns it upright"
    )


def _axes(turns: int, mirrored: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where x (right) and y (down) of a stored image point after a mirroring of x and counterclockwise
    quarter turns.
    """
    x, y = (-1 if mirrored else 1, 0), (0, 1)
    for _ in range(turns):
        x, y = (x[1], -x[0]), (y[1], -y[0])
    return x, y


def upright(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """An image [H, W, 3] of a frame as players show it."""
    turns, mirrored = orientation(frame)
    return np.ascontiguousarray(np.rot90(image[:, ::-1] if mirrored else image, turns))


def stereo_packing(path: Path) -> bytes | None:
    """How a video declares two eyes in one frame, for `eye_box`; None if it does not.

    Encoders say it at key frames only, so the first frame is looked at. Raises VideoError.
    """
    with open_video(path) as (container, stream):
        frame = _Reader(container, stream).ahead
        packing = None if frame is None else frame.side_data.get("STEREO3D")
        return None if packing is None else bytes(packing)


def eye_box(width: int, height: int, packing: bytes | None) -> tuple[int, int, int, int] | None:
    """left, top, width, height of the left eye in a frame of a video that is declared stereo; None: it is
    not.

    Raises VideoError for packings other than side by side and one above the other.
    """
    if packing is None:
        return None
    kind, flags = struct.unpack_from("=2i", packing)
    inverted = bool(flags & 1)
    if kind == 0:
        return None
    if kind == _SIDE_BY_SIDE:
        half = width // 2
        return (half if inverted else 0), 0, half, height
    if kind == _TOP_BOTTOM:
        half = height // 2
        return 0, (half if inverted else 0), width, half
    raise VideoError(
        "is stereo, with both eyes interleaved: re-encode one eye, e.g. with ffmpeg's filter stereo3d"
    )


def looks_side_by_side(image: np.ndarray) -> bool | None:
    """Whether a very wide image [H, W, 3] shows nearly the same twice, side by side; None: too plain to
    tell.
    """
    height, width = image.shape[:2]
    if width < 2.4 * height:
        return False
    rows, columns = np.linspace(0, height - 1, 32).astype(int), np.linspace(0, width // 2 - 1, 32).astype(int)
    grey = image.mean(2)
    left, right = grey[np.ix_(rows, columns)], grey[np.ix_(rows, columns + width // 2)]
    if min(left.std(), right.std()) < 2:
        return None
    alike = np.abs(left - right).mean() < 4 + 0.5 * left.std()
    return bool(alike and np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.8)


def view(frame: av.VideoFrame, packing: bytes | None = None) -> np.ndarray:
    """A frame as people see it, u8[H, W, 3] RGB: one eye, upright. packing: of `stereo_packing`."""
    image, box = frame.to_ndarray(format="rgb24"), eye_box(frame.width, frame.height, packing)
    if box is not None:
        left, top, width, height = box
        image = image[top : top + height, left : left + width]
    return upright(image, frame)
