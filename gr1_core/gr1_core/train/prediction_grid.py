"""Predicted frames as one image: a row per window, with current | predicted | real frame of each camera."""

from __future__ import annotations

import numpy as np
import torch

from gr1_core.data.windows import Windows
from gr1_core.model import patches
from gr1_core.train.input_pipeline import InputPipeline
from gr1_core.train.losses import Objective

_GAP = 4  # white pixels between the frames


@torch.no_grad()
def draw_predictions(
    objective: Objective, pipeline: InputPipeline, windows: Windows, numbers: np.ndarray
) -> np.ndarray | None:
    """Window numbers -> u8[H, W, 3]; None if the model predicts no frames. A row shows its window's last step
    with a future frame.
    """
    if not pipeline.spec.future:
        return None
    was_training = objective.model.training
    objective.model.eval()
    rows = []
    with pipeline.batches(windows, [numbers]) as batches:
        batch = next(batches)
        prediction = objective.predict(pipeline.inputs(batch))
    for i, future in enumerate(batch.host.future):
        step = int(np.flatnonzero(future)[-1]) if future.any() else 0
        row = []
        for role in pipeline.spec.future:
            now, real = (
                pipeline.image(role, batch.host.frames[i, k]) for k in (step, step + windows.future_steps)
            )
            predicted = objective.model.compose_frames(getattr(prediction, role)[i, step][None].cpu(), now)
            row += [patches.to_pixels(image)[0].numpy() for image in (now, predicted, real)]
        rows.append(_join(row, 1))
    objective.model.train(was_training)
    return _join(rows, 0)


def _join(images: list[np.ndarray], axis: int) -> np.ndarray:
    pad = [(0, 0)] * 3
    pad[axis] = (0, _GAP)
    joined = np.concatenate([np.pad(image, pad, constant_values=255) for image in images], axis)
    return joined[:-_GAP] if axis == 0 else joined[:, :-_GAP]
