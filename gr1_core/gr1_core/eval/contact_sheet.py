"""Contact sheets: one row of images per rollout or per prediction."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from gr1_core import images
from gr1_core.eval.environment import Outcome
from gr1_core.eval.prediction import Example
from gr1_core.rig import ROLES

ROWS = 12
"""Rows of a sheet, at most."""
_SIDE, _TEXT, _GAP, _LINE = (
    144,
    236,
    4,
    17,
)  # px: of an image, of the text beside it, between images, of a line of text
_INK, _GOOD, _BAD, _PAPER = (38, 42, 48), (32, 112, 60), (176, 42, 42), (250, 250, 248)


def write_rollouts(outcomes: Sequence[Outcome], path: Path) -> None:
    """Up to ROWS episodes of one suite, half of them failures if there are enough; time runs from left to
    right.
    """
    won, lost = (
        [one for one in outcomes if one.success is success and one.frames] for success in (True, False)
    )
    few = min(len(lost), max(ROWS // 2, ROWS - len(won)))
    chosen = _spread(won, ROWS - few) + _spread(lost, few)
    if not chosen:
        return
    rows = []
    for one in chosen:
        ended = f"success after {one.seconds:.1f} s" if one.success else f"{one.failure}, {one.seconds:.0f} s"
        text = [(f'"{one.trial.instruction}"', _INK), (ended, _GOOD if one.success else _BAD)]
        text += (
            [(f"scene of {one.trial.scene}" + (", done too" if one.unnamed else ""), _INK)]
            if one.trial.swapped
            else []
        )
        rows.append((text, [images.decode(frame) for frame in one.frames]))
    _save(rows, path)


def write_predictions(examples: Sequence[Example], seconds: float, path: Path) -> None:
    """Up to ROWS moments: per camera the current frame, and predicted and real ones `seconds` later."""
    chosen = _spread(list(examples), ROWS)
    if not chosen:
        return
    rows, roles = [], [role for role in ROLES if role in chosen[0].frames]
    for one in chosen:
        text = [(f'"{one.trial.instruction}"', _INK), (f"{one.trial.suite}, step {one.step}", _INK)]
        rows.append((text, [frame for role in roles for frame in one.frames[role]]))
    _save(
        rows,
        path,
        [
            f"{role}: {what}"
            for role in roles
            for what in ("now", f"predicted +{seconds:.1f} s", f"real +{seconds:.1f} s")
        ],
    )


def _spread(items: list, count: int) -> list:
    chosen = (
        np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))
        if items and count > 0
        else []
    )
    return [items[index] for index in chosen]


def _save(
    rows: list[tuple[list[tuple[str, tuple]], list[np.ndarray]]], path: Path, header: Sequence[str] = ()
) -> None:
    from PIL import Image, ImageDraw, ImageFont

    top = _LINE + 2 * _GAP if header else _GAP
    across = max(len(cells) for _, cells in rows)
    sheet = Image.new("RGB", (_TEXT + across * (_SIDE + _GAP), top + len(rows) * (_SIDE + _GAP)), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for column, text in enumerate(header):
        draw.text(
            (_TEXT + column * (_SIDE + _GAP) + _SIDE / 2, top / 2), text, font=font, fill=_INK, anchor="mm"
        )
    for row, (texts, cells) in enumerate(rows):
        y = top + row * (_SIDE + _GAP)
        lines = [(line, ink) for text, ink in texts for line in textwrap.wrap(text, 33)]
        for number, (line, ink) in enumerate(lines):
            draw.text((_GAP * 2, y + _GAP + number * _LINE), line, font=font, fill=ink)
        for column, image in enumerate(cells):
            small = cv2.resize(
                image,
                (_SIDE, _SIDE),
                interpolation=cv2.INTER_AREA if len(image) > _SIDE else cv2.INTER_CUBIC,
            )
            sheet.paste(Image.fromarray(small), (_TEXT + column * (_SIDE + _GAP), y))
    sheet.save(path, optimize=True)
