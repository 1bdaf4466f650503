"""Micro-batches from the memory there is, with the results of the whole batch, for both stages."""

import json

import pytest
import torch
from safetensors.torch import load_file

from gr1_core.train import memory, recipe, weights
from gr1_core.train.losses import Objective
from gr1_core.train.setup import train

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["pretrain-ego4d", "finetune-calvin-abcd", "finetune-kinova-transport"])
def test_the_papers_recipes_compute_as_many_windows_at_once_as_fit(name):
    assert recipe.load(name).micro_batch == "auto"


@pytest.mark.parametrize(
    "available, windows", [(1e12, 512), (0.42e9 * 600, 256), (0.42e9 * 150, 64), (2e9, 2), (1e9, 1)]
)
def test_halves_until_it_fits(available, windows):
    assert memory.fitting_micro_batch(512, int(0.42e9), int(available)) == windows


def test_one_window_that_does_not_fit_is_refused_with_the_numbers():
    with pytest.raises(MemoryError, match="one window needs 0.63 GB .* 0.50 GB are free"):
        memory.fitting_micro_batch(512, int(0.42e9), int(0.5e9))


def test_a_windows_memory_is_what_autograd_keeps(small_recipe):
    followed = small_recipe()
    model, _ = weights.initial_model(followed)
    objective = Objective(model.train(), followed.targets, False)
    per_window = memory.saved_bytes_per_window(objective, followed, CPU)
    # At least each block's input, attention and feed-forward activations of the context, in fp32.
    config = followed.config
    tokens = config.window * (2 + 2 * (config.latents + 1))
    assert per_window > 4 * config.layers * tokens * (4 * config.width + config.mlp_width)
    assert per_window < 100e6


@pytest.mark.parametrize("name", ["finetune-small", "pretrain-small"])
def test_a_run_with_little_memory_says_so_and_gives_the_whole_batchs_weights(
    small, small_recipe, tmp_path, monkeypatch, capsys, name
):
    settings = {"model.dropout": 0, "steps": 2, "micro_batch": "auto"}
    assert train(small_recipe(name, out=tmp_path / "whole", **settings)) == 0
    assert "micro_batch" not in capsys.readouterr().err
    followed = small_recipe(name, out=tmp_path / "cut", **settings)
    model, _ = weights.initial_model(followed)
    one = memory.saved_bytes_per_window(Objective(model.train(), followed.targets, False), followed, CPU)
    monkeypatch.setattr(memory, "available_bytes", lambda device: int(3 * one * 1.5 / 0.7))
    assert train(followed) == 0
    captured = capsys.readouterr()
    assert "micro_batch=auto: 2 of 8 windows at once" in captured.err
    assert "8 windows (2 at once)" in captured.out
    whole, cut = (load_file(tmp_path / folder / "model.safetensors") for folder in ("whole", "cut"))
    for key, tensor in whole.items():
        torch.testing.assert_close(cut[key], tensor, rtol=1e-4, atol=2e-6)


def test_a_resumed_run_keeps_its_micro_batch(small_recipe, tmp_path, monkeypatch, capsys):
    """Else another amount of free memory would give other random numbers and roundings."""
    followed = small_recipe(steps=4, **{"evaluation.every": 4})
    monkeypatch.setattr(memory, "fitting_micro_batch", lambda *_: 4)
    assert train(followed) == 0
    expected = load_file(tmp_path / "run" / "model.safetensors")
    expected = {name: tensor.clone() for name, tensor in expected.items()}
    (tmp_path / "run" / "state" / "00000004.safetensors").unlink()
    monkeypatch.setattr(memory, "fitting_micro_batch", lambda *_: 8)
    capsys.readouterr()
    assert train(followed) == 0
    assert "(4 at once)" in capsys.readouterr().out
    found = load_file(tmp_path / "run" / "model.safetensors")
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def test_windows_without_future_frames_go_with_micro_batches(small_recipe, tmp_path):
    settings = {"model.dropout": 0, "steps": 2, "video_share": 0.4, "evaluation.every": 1}
    for folder, size in (("whole", "null"), ("cut", 2)):
        assert train(small_recipe(out=tmp_path / folder, micro_batch=size, **settings)) == 0
    logs = [
        [json.loads(line)["train"] for line in (tmp_path / folder / "log.jsonl").read_text().splitlines()]
        for folder in ("whole", "cut")
    ]
    assert logs[0][0].keys() == {"arm", "gripper", "static", "wrist"}
    for one, other in zip(*logs):
        assert one == pytest.approx(other, rel=1e-5)
