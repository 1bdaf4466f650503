"""What the model expects to see, as a picture: a row for each window, for each camera now | predicted | real."""

from __future__ import annotations

import numpy as np
import torch

from gr1_core.data.windows import Windows
from gr1_core.model import patches
from gr1_core.train.input_pipeline import InputPipeline
from gr1_core.train.losses import Objective

_GAP = 4  # white pixels between the pictures


@torch.no_grad()
def draw_predictions(objective: Objective, feed: InputPipeline, windows: Windows, numbers: np.ndarray) -> np.ndarray | None:
    """Windows -> u8[H, W, 3]; None if no frames are predicted. Each row is the last step of its window that has a future frame."""
    if not feed.wants.future:
        return None
    was_training = objective.model.training
    objective.model.eval()
    rows = []
    with feed.loader(windows, [numbers]) as loader:
        batch = next(loader)
        prediction = objective.predict(feed.inputs(batch))
    for i, future in enumerate(batch.future):
        step = int(np.flatnonzero(future)[-1]) if future.any() else 0
        row = []
        for role in feed.wants.future:
            now, real = (feed.image(role, batch.frames[i, k]) for k in (step, step + windows.future_steps))
            predicted = objective.model.compose_frames(getattr(prediction, role)[i, step][None].cpu(), now)
            row += [patches.to_pixels(image)[0].numpy() for image in (now, predicted, real)]
        rows.append(_beside(row, 1))
    objective.model.train(was_training)
    return _beside(rows, 0)


def _beside(images: list[np.ndarray], axis: int) -> np.ndarray:
    pad = [(0, 0)] * 3
    pad[axis] = (0, _GAP)
    joined = np.concatenate([np.pad(image, pad, constant_values=255) for image in images], axis)
    return joined[:-_GAP] if axis == 0 else joined[:, :-_GAP]
