"""Predicted frames are compared with a copy of the current ones; a run that is no better says so."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gr1_core.cli import main
from gr1_core.data.dataset import Dataset
from gr1_core.model import patches
from gr1_core.train.setup import train

from .conftest import MODEL

CONVOLUTIONS = {
    "size": "small", "width": 32, "layers": 1, "heads": 2, "mlp_width": 64, "image_size": 32,
    "vision_width": 16, "latents": 4, "decoder_heads": 2, "decoder_layers": 1, "text_dim": 16,
}  # fmt: skip


def last_evaluation(folder) -> dict:
    return json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["held_out"]


def seen(view: np.ndarray) -> torch.Tensor:
    """A view -> its normalised patches at the model's size."""
    images = patches.preprocess(torch.from_numpy(np.ascontiguousarray(view))[None], 32)
    return patches.targets(images, 16)


def test_a_decoder_that_has_not_learned_says_that_it_is_no_better_than_a_copy(small, videos, capsys):
    name, changes = small(
        "pretrain-small", data=videos, model=CONVOLUTIONS, train_vision="true", optimizer__lr=1e-9, steps=2,
        hz=3,
    )  # fmt: skip
    assert main(["pretrain", name, *changes]) == 0

    out = capsys.readouterr().out
    assert "predicted frames of the static camera are no better than a copy of the current frame" in out
    assert "frame_error=squared" in out


def test_the_copys_error_is_that_of_the_current_frames_patches(small_recipe, demonstrations):
    run = small_recipe(model=MODEL | {"window": 1}, steps=1, evaluation__every=1, held_out=0.3)
    train(run)
    figures, dataset = last_evaluation(Path(run.out)), Dataset(demonstrations)
    training = json.loads((Path(run.out) / "training.json").read_text())
    errors = {"static": [], "wrist": []}
    windows = [
        (episode, row)
        for episode in training["data"]["held_out"]["episodes"]
        for row in range(*dataset.episodes[episode].tolist())
    ]
    chosen = np.unique(np.linspace(0, len(windows) - 1, run.evaluation.windows).round().astype(int))
    for episode, row in [windows[index] for index in chosen]:
        if row + 2 >= dataset.episodes[episode]["end"]:
            continue
        for role, found in errors.items():
            now, later = (seen(dataset.cameras[role].view(dataset.image(role, at))) for at in (row, row + 2))
            found.append(float((now - later).square().mean()))
    for role, found in errors.items():
        assert figures["baselines"]["copy"][role] == pytest.approx(np.mean(found), rel=1e-4)


def test_the_frames_error_can_be_squared_for_changes(small_recipe):
    made = small_recipe(model=CONVOLUTIONS, train_vision="true")
    assert made.absolute_frame_error
    assert not small_recipe(
        model=CONVOLUTIONS, train_vision="true", frame_error="squared"
    ).absolute_frame_error
    assert not small_recipe().absolute_frame_error
