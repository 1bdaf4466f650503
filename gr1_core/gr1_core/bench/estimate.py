"""`gr1 bench train --estimate`: hours and memory of a whole run on GPUs, from its arithmetic.

Counts the operations and saved bytes of one window on the CPU; nothing is trained and no data are needed.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from gr1_core.bench.train import flop_per_window
from gr1_core.data.dataset import Dataset
from gr1_core.data.windows import Windows, split_episodes
from gr1_core.model import factory
from gr1_core.train import memory, weights
from gr1_core.train.losses import Objective
from gr1_core.train.recipe import Recipe

# Windows per epoch where the data are not there: CALVIN's annotated spans (ABCD: 28 million windows in 20
# epochs; 10 %: 2244 spans of about 65 frames) and Ego4D's clips.
KNOWN_WINDOWS = {
    "data/calvin_abcd": 1_400_000,
    "data/calvin_abcd_10pct": 146_000,
    "data/ego4d": 800_000,
}


def run(recipe: Recipe, gpus: int, tflops: float, memory_gb: float, windows: int | None) -> dict:
    """Prints the figures and returns them; the last line is one JSON document.

    gpus: number of them. tflops: that each reaches in training. memory_gb: of each. windows: per epoch; None:
    of recipe.data, or KNOWN_WINDOWS. Raises ValueError if that is unknown.
    """
    windows = windows or _windows_per_epoch(recipe)
    steps, _ = recipe.schedule(windows // recipe.batch)
    with torch.random.fork_rng(devices=[]):
        model = factory.new_model(recipe.config)
    weights.set_trained(model, recipe)
    objective = Objective(model.train(), recipe.targets, bf16=True)
    flop = flop_per_window(objective, recipe)
    per_window = memory.saved_bytes_per_window(objective, recipe, torch.device("cpu"), plain_attention=False)
    fixed = _fixed_bytes(objective, recipe)
    share = recipe.batch // gpus
    micro_batch = memory.fitting_micro_batch(share, per_window, int(memory_gb * 1e9) - fixed)
    hours = steps * recipe.batch * flop / (gpus * tflops * 1e12) / 3600
    result = {
        "recipe": recipe.name,
        "gpus": gpus,
        "tflops_per_gpu": tflops,
        "windows_per_epoch": windows,
        "steps": steps,
        "batch": recipe.batch,
        "tflop_per_window": flop / 1e12,
        "hours": hours,
        "windows_per_s": steps * recipe.batch / hours / 3600,
        "gb_per_window": per_window / 1e9,
        "fixed_gb": fixed / 1e9,
        "micro_batch": micro_batch,
        "memory_gb": (fixed + micro_batch * per_window * memory.BACKWARD) / 1e9,
        "whole_batch_gb": (fixed + share * per_window * memory.BACKWARD) / 1e9,
    }
    _show(result)
    print(json.dumps(result))
    return result


def _windows_per_epoch(recipe: Recipe) -> int:
    if recipe.data and (Path(recipe.data) / "meta" / "info.json").is_file():
        dataset = Dataset(recipe.data)
        training, _ = split_episodes(dataset, 0.0 if recipe.validation else recipe.held_out, recipe.seed)
        every = len(Windows(dataset, training, 1, 0))
        return len(training) if recipe.starts == "first" else every
    if recipe.data in KNOWN_WINDOWS:
        return KNOWN_WINDOWS[recipe.data]
    raise ValueError(f"no dataset at data={recipe.data}: say how many windows an epoch has, --windows N")


def _fixed_bytes(objective: Objective, recipe: Recipe) -> int:
    """fp32 weights, gradients, moments and averages of what is trained, and the frozen encoder in bf16."""
    model = objective.model
    sizes = {name: (value.numel(), value.requires_grad) for name, value in model.named_parameters()}
    trained = sum(size for size, is_trained in sizes.values() if is_trained)
    all_weights = sum(size for size, _ in sizes.values())
    frozen_copy = 0 if recipe.train_vision else sum(value.numel() for value in model.vision.parameters())
    return 4 * all_weights + 4 * trained * (4 if recipe.optimizer.ema else 3) + 2 * frozen_copy


def _show(result: dict) -> None:
    table = Table(
        title=f"{result['recipe']} on {result['gpus']} GPUs at {result['tflops_per_gpu']:g} TFLOP/s each",
        show_header=False,
    )
    table.add_row(
        "windows",
        f"{result['windows_per_epoch']:,} per epoch, {result['steps']:,} steps of {result['batch']}",
    )
    table.add_row("arithmetic", f"{result['tflop_per_window']:.3g} TFLOP per window")
    table.add_row(
        "time", f"{result['hours']:.2g} hours at {result['windows_per_s']:,.0f} windows/s, if data keep up"
    )
    table.add_row(
        "memory per GPU",
        f"{result['memory_gb']:.1f} GB with {result['micro_batch']} windows at once; "
        f"{result['whole_batch_gb']:.0f} GB for its whole share",
    )
    Console().print(table)
