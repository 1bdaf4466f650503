"""The video of an evaluation: the rig from outside, the cameras' frames, the predicted frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gr1_common.text import printable
from gr1_core import Rig
from gr1_core.rig import ROLES
from gr1_core.sim import Renderer
from gr1_evaluation.rollout_recording import RecordedTrial, Recording

CODEC = "libx264"
OUTSIDE, SMALL, LABEL, BAR = (768, 576), 256, 32, 64
"""Pixels: the rig, each of the four images beside it, the caption over each, the bar with the instruction.
"""
HELD_S = 0.8  # for which the last frame of a trial is held
_PAPER, _INK, _GREY, _GREEN, _RED = (
    (244, 244, 242),
    (38, 42, 48),
    (130, 134, 140),
    (34, 139, 84),
    (190, 52, 47),
)


def write_video(
    file: Path,
    recording: Recording,
    rig: Rig,
    quality: str = "live",
    go_on: Callable[[float], bool] = lambda share: True,
) -> int:
    """H.264 at the recording's rate; returns the number of frames. go_on(share done) is asked before each;
    False ends the video.
    """
    count = 0
    with av.open(str(file), "w") as container:
        stream = container.add_stream(
            CODEC, rate=round(1 / recording.period), options={"preset": "veryfast", "crf": "22"}
        )
        stream.width, stream.height, stream.pix_fmt = OUTSIDE[0] + 2 * SMALL, OUTSIDE[1] + BAR, "yuv420p"
        for share, image in frames(recording, rig, quality):
            if not go_on(share):
                break
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            count += 1
        container.mux(stream.encode())
    return count


def frames(recording: Recording, rig: Rig, quality: str = "live") -> Iterator[tuple[float, np.ndarray]]:
    """(share done, u8[640, 1280, 3]) of each state of the recording. The cameras are rendered at the
    policy's resolution.
    """
    page, states = _Page(recording), list(recording.states)
    cameras = {role: Renderer(role, rig.cameras[role].width, rig.cameras[role].height) for role in ROLES}
    outside = Renderer("overview", *OUTSIDE, quality)
    try:
        for index, (stamp, number, state) in enumerate(states):
            camera_frames = {
                role: rig.cameras[role].view(camera.render(state)) for role, camera in cameras.items()
            }
            predicted = {role: recording.predicted_for(role, stamp) for role in ROLES}
            last = index + 1 == len(states) or states[index + 1][1] != number
            image = page.compose(
                outside.render(state), camera_frames, predicted, recording.trials[number], last
            )
            for _ in range(1 + last * round(HELD_S / recording.period)):
                yield index / len(states), image
    finally:
        for renderer in (*cameras.values(), outside):
            renderer.close()


class _Page:
    """The parts of a frame, and the count of successes so far."""

    def __init__(self, recording: Recording):
        note = f"{recording.note}: " if recording.note else ""
        self._caption = f"{note}predicted {recording.ahead:.1f} s before"
        self._fonts = {size: ImageFont.load_default(size) for size in (16, 26)}
        self._won = self._tried = 0

    def compose(self, outside, camera_frames, predicted, trial: RecordedTrial, last: bool) -> np.ndarray:
        canvas = Image.new("RGB", (OUTSIDE[0] + 2 * SMALL, OUTSIDE[1] + BAR), _PAPER)
        canvas.paste(Image.fromarray(outside), (0, 0))
        draw = ImageDraw.Draw(canvas)
        for row, role in enumerate(ROLES):
            top = row * (SMALL + LABEL)
            for column, (title, image) in enumerate(
                ((f"{role} camera", camera_frames[role]), (self._caption, predicted[role]))
            ):
                left = OUTSIDE[0] + column * SMALL
                draw.text(
                    (left + SMALL / 2, top + LABEL / 2), title, font=self._fonts[16], fill=_INK, anchor="mm"
                )
                if image is not None:
                    canvas.paste(
                        Image.fromarray(cv2.resize(image, (SMALL, SMALL), interpolation=cv2.INTER_CUBIC)),
                        (left, top + LABEL),
                    )
        self._draw_bar(draw, trial, last)
        return np.asarray(canvas)

    def _draw_bar(self, draw: ImageDraw.ImageDraw, trial: RecordedTrial, last: bool) -> None:
        middle = OUTSIDE[1] + BAR / 2
        draw.text((72, middle), printable(trial.instruction), font=self._fonts[26], fill=_INK, anchor="lm")
        if last and trial.success is not None and trial.task:
            self._won, self._tried = self._won + trial.success, self._tried + 1
            strokes = (
                ((22, 2, 32, 12), (32, 12, 52, -12))
                if trial.success
                else ((24, -12, 48, 12), (24, 12, 48, -12))
            )
            for x0, y0, x1, y1 in strokes:
                draw.line((x0, middle + y0, x1, middle + y1), fill=_GREEN if trial.success else _RED, width=7)
        right = OUTSIDE[0] + 2 * SMALL - 20
        score = f"{self._won} of {self._tried} succeeded" if self._tried else ""
        draw.text((right, middle), score, font=self._fonts[16], fill=_GREY, anchor="rm")
