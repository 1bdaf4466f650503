"""The film of an examination: the rig from outside, what both cameras see, and beside it what the policy expected them to see.

`python -m gr1_evaluation.evaluation_video out/run-.../recording.npz --out film.mp4` draws it again from a run's recording, as fine as is wanted; film.gif
becomes a smaller picture for a document, at twice the real speed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gr1_bringup.status_table import shown
from gr1_core import Rig
from gr1_core.rig import ROLES
from gr1_core.sim import Renderer
from gr1_core.sim.gallery import write_gif
from gr1_core.sim.renderer import QUALITY
from gr1_evaluation.rollout_recording import Recording, Take

CODEC = "libx264"
OUTSIDE, SMALL, LABEL, BAR = (768, 576), 256, 32, 64
"""Pixels: the rig, each of the four pictures beside it, the line over each, the line with the sentence."""
HELD_S = 0.8  # for which the end of a trial stands still
_PAPER, _INK, _GREY, _GREEN, _RED = (
    (244, 244, 242),
    (38, 42, 48),
    (130, 134, 140),
    (34, 139, 84),
    (190, 52, 47),
)


def write(
    file: Path,
    recording: Recording,
    rig: Rig,
    quality: str = "live",
    go_on: Callable[[float], bool] = lambda share: True,
) -> int:
    """H.264 at the recording's rate; returns the number of frames. go_on(share that is done) is asked before each; False ends the film."""
    count = 0
    with av.open(str(file), "w") as container:
        stream = container.add_stream(
            CODEC, rate=round(1 / recording.period), options={"preset": "veryfast", "crf": "22"}
        )
        stream.width, stream.height, stream.pix_fmt = OUTSIDE[0] + 2 * SMALL, OUTSIDE[1] + BAR, "yuv420p"
        for share, picture in frames(recording, rig, quality):
            if not go_on(share):
                break
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            count += 1
        container.mux(stream.encode())
    return count


def frames(recording: Recording, rig: Rig, quality: str = "live") -> Iterator[tuple[float, np.ndarray]]:
    """(share that is done, u8[640, 1280, 3]) of each state of the recording. The cameras are drawn as the policy has seen them."""
    page, states = _Page(recording), list(recording.states)
    eyes = {role: Renderer(role, rig.cameras[role].width, rig.cameras[role].height) for role in ROLES}
    outside = Renderer("overview", *OUTSIDE, quality)
    try:
        for index, (stamp, number, state) in enumerate(states):
            seen = {role: rig.cameras[role].view(eye.render(state)) for role, eye in eyes.items()}
            expected = {role: recording.expected(role, stamp) for role in ROLES}
            last = index + 1 == len(states) or states[index + 1][1] != number
            picture = page.compose(outside.render(state), seen, expected, recording.takes[number], last)
            for _ in range(1 + last * round(HELD_S / recording.period)):
                yield index / len(states), picture
    finally:
        for renderer in (*eyes.values(), outside):
            renderer.close()


class _Page:
    """The parts of a frame, and the count of what has succeeded so far."""

    def __init__(self, recording: Recording):
        note = f"{recording.note}: " if recording.note else ""
        self._predicted = f"{note}as predicted {recording.ahead:.1f} s before"
        self._fonts = {size: ImageFont.load_default(size) for size in (16, 26)}
        self._won = self._tried = 0

    def compose(self, outside, seen, expected, take: Take, last: bool) -> np.ndarray:
        canvas = Image.new("RGB", (OUTSIDE[0] + 2 * SMALL, OUTSIDE[1] + BAR), _PAPER)
        canvas.paste(Image.fromarray(outside), (0, 0))
        draw = ImageDraw.Draw(canvas)
        for row, role in enumerate(ROLES):
            top = row * (SMALL + LABEL)
            for column, (title, picture) in enumerate(
                ((f"{role} camera", seen[role]), (self._predicted, expected[role]))
            ):
                left = OUTSIDE[0] + column * SMALL
                draw.text(
                    (left + SMALL / 2, top + LABEL / 2), title, font=self._fonts[16], fill=_INK, anchor="mm"
                )
                if picture is not None:
                    canvas.paste(
                        Image.fromarray(cv2.resize(picture, (SMALL, SMALL), interpolation=cv2.INTER_CUBIC)),
                        (left, top + LABEL),
                    )
        self._line(draw, take, last)
        return np.asarray(canvas)

    def _line(self, draw: ImageDraw.ImageDraw, take: Take, last: bool) -> None:
        middle = OUTSIDE[1] + BAR / 2
        draw.text((72, middle), shown(take.sentence), font=self._fonts[26], fill=_INK, anchor="lm")
        if last and take.success is not None and take.task:
            self._won, self._tried = self._won + take.success, self._tried + 1
            strokes = (
                ((22, 2, 32, 12), (32, 12, 52, -12))
                if take.success
                else ((24, -12, 48, 12), (24, 12, 48, -12))
            )
            for x0, y0, x1, y1 in strokes:
                draw.line((x0, middle + y0, x1, middle + y1), fill=_GREEN if take.success else _RED, width=7)
        right = OUTSIDE[0] + 2 * SMALL - 20
        said = f"{self._won} of {self._tried} succeeded" if self._tried else ""
        draw.text((right, middle), said, font=self._fonts[16], fill=_GREY, anchor="rm")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m gr1_evaluation.evaluation_video", description=__doc__.split("\n")[0]
    )
    parser.add_argument("recording", type=Path, help="recording.npz of a run of gr1 up --examine")
    parser.add_argument("--out", type=Path, required=True, help="the film, .mp4 or .gif")
    parser.add_argument("--rig", default="kinova_gen2_small", help="the rig that the run had")
    parser.add_argument("--quality", choices=tuple(QUALITY), default="film", help="of the view from outside")
    options = parser.parse_args(argv)
    recording, rig = Recording.load(options.recording), Rig.load(options.rig)
    if options.out.suffix == ".gif":
        drawn = [picture for _, picture in frames(recording, rig, options.quality)]
        write_gif(options.out, drawn[::2], round(1 / recording.period))
    else:
        write(options.out, recording, rig, options.quality)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
