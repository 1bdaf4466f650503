"""The panel "now | predicted | real" of both cameras. ROS-free."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gr1_policy.controller import Step
from gr1_policy.inputs import CAMERAS
from gr1_policy.prediction_monitor import GRID, Evidence

TILE, BAR, GAP = 224, 20, 4


class Panel:
    """Keeps steps until their future frame is there. `add` returns an image when this step is the future of
    a predicted one.
    """

    def __init__(self, future_steps: int, period: float):
        self._steps: deque[Step] = deque(maxlen=future_steps + 1)
        self._future_steps, self._period = future_steps, period

    def add(self, step: Step) -> np.ndarray | None:
        if step.index == 0:
            self._steps.clear()
        self._steps.append(step)
        past = next((old for old in self._steps if old.index == step.index - self._future_steps), None)
        if past is None or past.future is None:
            return None
        return draw_panel(past, step, self._future_steps * self._period)


def draw_panel(past: Step, real: Step, ahead: float) -> np.ndarray:
    """A row for each camera (static, wrist) of three captioned tiles -> u8[H, W, 3]. `ahead` in seconds."""
    rows = []
    for name in (name for name in CAMERAS if name in real.views):
        now, predicted = (
            _tile(f"{name} now", past.views[name]),
            _tile(f"predicted +{ahead:.1f} s", getattr(past.future, name)),
        )
        rows.append(_row([now, predicted, _tile(f"real +{ahead:.1f} s", real.views[name])]))
    gap = np.zeros((GAP, rows[0].shape[1], 3), np.uint8)
    return np.vstack([rows[0], *(part for row in rows[1:] for part in (gap, row))])


def draw_evidence(found: Evidence) -> np.ndarray:
    """The predicted beside the real frame, with the place that differs most in a frame -> u8[H, W, 3]."""
    tiles = [
        _tile(f"{found.camera} {what}", image)
        for what, image in (("predicted", found.predicted), ("real", found.real))
    ]
    row, column = found.cell
    cell, reach = TILE / GRID, 1.5 * TILE / GRID
    x, y = cell * (column + 0.5), BAR + cell * (row + 0.5)
    for number, tile in enumerate(tiles):
        canvas = Image.fromarray(tile)
        box = (x - reach, max(y - reach, BAR), x + reach, y + reach)
        ImageDraw.Draw(canvas).rectangle(box, outline=(255, 60, 60), width=2)
        tiles[number] = np.asarray(canvas)
    return _row(tiles)


def _row(tiles: list[np.ndarray]) -> np.ndarray:
    gap = np.zeros((tiles[0].shape[0], GAP, 3), np.uint8)
    return np.hstack([part for tile in tiles for part in (tile, gap)][:-1])


def _tile(caption: str, image: np.ndarray) -> np.ndarray:
    smaller = image.shape[0] < TILE
    sized = cv2.resize(
        np.ascontiguousarray(image),
        (TILE, TILE),
        interpolation=cv2.INTER_CUBIC if smaller else cv2.INTER_AREA,
    )
    canvas = Image.new("RGB", (TILE, BAR + TILE))
    canvas.paste(Image.fromarray(sized), (0, BAR))
    ImageDraw.Draw(canvas).text((4, 2), caption, font=ImageFont.load_default(13), fill="white")
    return np.asarray(canvas)
