"""Weights & Biases beside TensorBoard, offline."""

import sys

import pytest

from gr1_core.train.boards import BoardError, make_boards
from gr1_core.train.setup import train


def test_a_run_writes_one_offline_run_beside_tensorboard(small_recipe, tmp_path):
    pytest.importorskip("wandb")
    train(small_recipe(out=tmp_path / "run", steps=1, wandb="offline", **{"evaluation.every": 1}))
    folder = tmp_path / "run" / "wandb"
    (run,) = folder.glob("offline-run-*")
    assert run.name.endswith((folder / "run-id").read_text())
    assert all(file.stat().st_size for file in run.glob("*.wandb")) and list(run.glob("*.wandb"))
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_a_missing_package_is_named(small_recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(BoardError, match="pip install wandb"):
        make_boards(tmp_path, small_recipe(out=tmp_path, wandb="offline"), 0)
