"""`gr1 gallery hands`: clips of human hands with their narrations, for documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gr1_core.sim.gallery import caption
from gr1_core.sim.hands import rendering, scene

_COLUMNS, _ROWS, _SIZE = 2, 6, 132
_SECONDS = (-1.2, -0.4, 0.4, 1.2)  # of the pictures, from the narration


def clip(seed: int, index: int, narration: int) -> np.ndarray:
    """Four pictures of a clip side by side over its sentence, u8[h, w, 3]."""
    from PIL import Image

    video = scene.draw(seed, index, narration + 1)
    said, frames = video.script.narrations[narration], list(rendering.pictures(video))
    numbers = [
        min(max(round((said.seconds + offset) * rendering.FPS), 0), len(frames) - 1) for offset in _SECONDS
    ]
    small = [
        np.asarray(Image.fromarray(frames[number]).resize((_SIZE, _SIZE), Image.Resampling.LANCZOS))
        for number in numbers
    ]
    return caption(np.concatenate(small, axis=1), said.text, 26)


def sheet(seed: int) -> np.ndarray:
    """A narrated moment each of the first videos of a seed, u8[h, w, 3]."""
    cells = [
        np.pad(clip(seed, index, index % 4), ((3, 3), (3, 3), (0, 0)), constant_values=244)
        for index in range(_ROWS * _COLUMNS)
    ]
    rows = [
        np.concatenate(cells[start : start + _COLUMNS], axis=1) for start in range(0, len(cells), _COLUMNS)
    ]
    return np.concatenate(rows)


def write_gallery(out: Path, seed: int) -> None:
    """Writes the sheet of a seed as a PNG of 256 colours; its folder is made."""
    from PIL import Image

    out.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(sheet(seed)).quantize(256, dither=Image.Dither.NONE)
    image.save(out, optimize=True)
