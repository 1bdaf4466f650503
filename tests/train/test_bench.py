"""`gr1 bench train` on made-up data."""

import json

import pytest

from gr1_core.bench import train as bench
from gr1_core.cli import main

from .conftest import CHANGES


@pytest.mark.parametrize("recipe", ["finetune-small", "pretrain-small"])
def test_it_measures_and_leaves_nothing(recipe, monkeypatch, capsys):
    monkeypatch.setattr(bench, "_EPISODES", 3)
    monkeypatch.setattr(bench, "_LENGTH", 12)
    assert main(["bench", "train", recipe, *CHANGES, "--steps", "2"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["recipe"] == recipe and result["batch"] == 8 and result["precision"] == "fp32"
    assert result["windows_per_s"] == pytest.approx(8 / result["step_s"])
    assert result["tflops"] == pytest.approx(result["windows_per_s"] * result["gflop_per_window"] / 1e3)
    assert (
        result["of_peak"] == pytest.approx(result["tflops"] / result["peak_tflops"])
        and 0 <= result["waiting"] <= 1
    )
