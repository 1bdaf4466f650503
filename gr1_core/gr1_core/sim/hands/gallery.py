"""Image of hand clips with their narrations, for documents: `gr1 gallery hands`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gr1_core.sim.gallery import add_caption, tile_images
from gr1_core.sim.hands import rendering, scene

_COLUMNS, _ROWS, _FRAME_SIZE = 2, 6, 132
_OFFSETS = (-1.2, -0.4, 0.4, 1.2)  # s: times of the frames, relative to the narration


def render_clip(seed: int, index: int, narration: int) -> np.ndarray:
    """Four frames of a clip side by side above its narration, u8[h, w, 3]."""
    from PIL import Image

    video = scene.sample_video(seed, index, narration + 1)
    annotation, frames = video.script.narrations[narration], list(rendering.render_video(video))
    numbers = [round((annotation.seconds + offset) * rendering.FPS) for offset in _OFFSETS]
    size = (_FRAME_SIZE, _FRAME_SIZE)
    shown = [
        Image.fromarray(frames[min(max(number, 0), len(frames) - 1)]).resize(size, Image.Resampling.LANCZOS)
        for number in numbers
    ]
    return add_caption(np.concatenate([np.asarray(frame) for frame in shown], axis=1), annotation.text, 26)


def render_sheet(seed: int) -> np.ndarray:
    """One narrated clip of each of the first videos of a seed, u8[h, w, 3]."""
    clips = [render_clip(seed, index, index % 4) for index in range(_ROWS * _COLUMNS)]
    return tile_images(clips, _COLUMNS, margin=3)


def write_gallery(path: Path, seed: int = 0) -> None:
    """Writes the image as a PNG. Raises OSError where it cannot be written."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(render_sheet(seed)).quantize(256, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
