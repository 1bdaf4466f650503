"""Small previews of an episode for the report. Computed in the workers, stored in the parts."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np

from gr1_core import images
from gr1_core.data.convert.sources.source import Episode

_THUMBNAIL_WIDTH, _THUMBNAIL_QUALITY = 144, 75
_GREY_SIDE = 8


def episode_preview(episode: Episode) -> dict[str, Any]:
    """First, middle and last frame of each camera.

    "thumbnails": role -> three JPEGs in base64, 144 pixels wide; "grey": role -> three lists of 8x8 grey
    levels, row by row.
    """
    thumbnails, grey = {}, {}
    for role, encoded in episode.images.items():
        shown = (0, len(encoded) // 2, len(encoded) - 1)
        # A single frame is all three.
        frames = {index: images.decode(encoded[index]) for index in set(shown)}
        small = {index: (_thumbnail(frame), _grey(frame)) for index, frame in frames.items()}
        thumbnails[role] = [small[index][0] for index in shown]
        grey[role] = [small[index][1] for index in shown]
    return {"thumbnails": thumbnails, "grey": grey}


def _thumbnail(frame: np.ndarray) -> str:
    height, width = frame.shape[:2]
    size = (_THUMBNAIL_WIDTH, max(1, round(height * _THUMBNAIL_WIDTH / width)))
    return base64.b64encode(
        images.encode_jpeg(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), _THUMBNAIL_QUALITY)
    ).decode()


def _grey(frame: np.ndarray) -> list[int]:
    small = cv2.resize(
        cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (_GREY_SIDE, _GREY_SIDE), interpolation=cv2.INTER_AREA
    )
    return small.ravel().tolist()
