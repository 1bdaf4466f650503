"""`gr1 bench train`: how fast a recipe trains on this machine, and how much of the device's peak that is.

With several processes (torchrun) the main one reports for all of them.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from gr1_core import images
from gr1_core.bench.timing import peak_gflops
from gr1_core.data.convert.sources.source import Episode
from gr1_core.data.dataset_writer import DatasetWriter
from gr1_core.rig import Rig
from gr1_core.train import cpu_tuning, losses, memory
from gr1_core.train.losses import Objective
from gr1_core.train.recipe import Recipe
from gr1_core.train.run_folder import RunFolder
from gr1_core.train.setup import prepare_run
from gr1_core.train.signals import StopSignal
from gr1_core.train.trainer import Trainer

_EPISODES, _LENGTH = 8, 60
_WARM_UP = 2  # steps that allocate memory and choose kernels


def run(recipe: Recipe, steps: int) -> dict:
    """Trains for some steps in a temporary folder, prints the figures and returns them; the last line is one
    JSON document.
    """
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="gr1-bench-") as scratch:
        if not recipe.data:
            recipe = dataclasses.replace(recipe, data=str(synthetic_dataset(recipe, Path(scratch) / "data")))
        # Random weights are as fast as any. Nothing is evaluated or saved while the clock runs.
        recipe = dataclasses.replace(
            recipe,
            out=f"{scratch}/run",
            init=None,
            encoders="random",
            validation=None,
            steps=10**6,
            save_every=10**6,
            evaluation=dataclasses.replace(recipe.evaluation, every=10**6),
        )
        with RunFolder(recipe.out) as folder, StopSignal() as stop:
            trainer = prepare_run(recipe, folder)
            try:
                result = _measure(trainer, stop, steps)
            finally:
                trainer.close()
    if trainer.processes.is_main_process:
        console.print(
            f"{result['windows_per_s']:.2f} windows/s, {result['step_s']:.3f} s per step of {recipe.batch} "
            "windows, "
            f"{result['micro_batch']} at once; waiting for data {result['waiting']:.0%}; "
            f"{result['tflops']:.3g} TFLOP/s, {result['of_peak']:.0%} of the {result['peak_tflops']:.3g} of "
            "a matrix product; "
            f"memory {result['memory_gb']:.2f} GB"
        )
        print(json.dumps(result))
    return result


def _measure(trainer: Trainer, stop: StopSignal, steps: int) -> dict:
    recipe, learner, processes = trainer.recipe, trainer.learner, trainer.processes
    device, cuda = learner.device, learner.device.type == "cuda"
    bf16 = learner.objective.bf16
    flop = flop_per_window(learner.objective, recipe, trainer.pipeline.cached)
    times, waits, last_losses = [], [], {}
    with trainer.open_batches() as batches:
        for number in range(_WARM_UP + steps):
            if cuda and number == _WARM_UP:
                torch.cuda.synchronize()
            waited, began = batches.waited_s + trainer.pipeline.waited_s, time.perf_counter()
            if trainer.update(batches, stop):
                raise KeyboardInterrupt
            if cuda and number == _WARM_UP + steps - 1:
                torch.cuda.synchronize()
            if number >= _WARM_UP:
                times.append(time.perf_counter() - began)
                waits.append(batches.waited_s + trainer.pipeline.waited_s - waited)
    *sums, count = trainer.progress.recent.tolist()
    last_losses = {name: value / max(1.0, count) for name, value in zip(losses.NAMES, sums) if value}
    # On CUDA the host runs ahead of the device: only the sum of all steps is the device's time.
    step = sum(times) / len(times) if cuda else statistics.median(times)
    speed = recipe.batch / step
    peak = peak_tflops(device, bf16) * processes.num_processes
    used = (
        torch.cuda.max_memory_allocated()
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return {
        "recipe": recipe.name,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "processes": processes.num_processes,
        "threads": torch.get_num_threads(),
        "precision": "bf16" if bf16 else "fp32",
        "compile": recipe.compile,
        "cached": trainer.pipeline.cached,
        "batch": recipe.batch,
        "micro_batch": trainer.schedule.micro_batch,
        "steps": steps,
        "step_s": step,
        "windows_per_s": speed,
        "waiting": sum(waits) / sum(times),
        "gflop_per_window": flop / 1e9,
        "tflops": speed * flop / 1e12,
        "peak_tflops": peak,
        "of_peak": speed * flop / 1e12 / peak,
        "memory_gb": used / 1e9,
        "losses": last_losses,
    }


def flop_per_window(objective: Objective, recipe: Recipe, cached: bool = False) -> float:
    """Floating-point operations of one window: forward, backward and, unless its tokens are cached, the
    frozen encoder.
    """
    predicted = bool({"static", "wrist"} & set(recipe.targets))
    share = recipe.video_share if predicted and recipe.stage == "finetune" else 1.0
    flop = share * _training_flop(objective, recipe, video=True)
    if share < 1:
        flop += (1 - share) * _training_flop(objective, recipe, video=False)
    if not recipe.train_vision and not cached:
        flop += _encoder_flop(objective, recipe)
    return flop


def _training_flop(objective: Objective, recipe: Recipe, video: bool) -> int:
    device = next(objective.parameters()).device
    inputs = memory.noise_inputs(objective, recipe, device, 1, video)
    counter = FlopCounterMode(display=False)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), counter:
        with cpu_tuning.attention(device):
            losses.total_loss(objective(inputs), recipe.loss, (1, 1, 1)).backward()
    objective.zero_grad(set_to_none=True)
    return counter.get_total_flops()


@torch.no_grad()
def _encoder_flop(objective: Objective, recipe: Recipe) -> int:
    model, config = objective.model, objective.model.config
    device = next(objective.parameters()).device
    # Of the model's own encoder: the counter does not know the products of its packed copy.
    counter = FlopCounterMode(display=False)
    with counter:
        model.vision(torch.zeros(1, 3, config.image_size, config.image_size, device=device))
    return counter.get_total_flops() * config.window * len(recipe.roles)


def peak_tflops(device: torch.device, bf16: bool) -> float:
    """What a large matrix product reaches on this device."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    if device.type == "cpu":
        return peak_gflops(dtype, 3) / 1e3
    a, b = (torch.randn(8192, 8192, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        a @ b
        ended.record()
        torch.cuda.synchronize()
        best = min(best, began.elapsed_time(ended))
    return 2 * 8192**3 / best / 1e9


def synthetic_dataset(recipe: Recipe, root: Path) -> Path:
    """A dataset of noise with the frame sizes of the recipe's own data, so that decoding costs the same."""
    rig = Rig.load("calvin" if "calvin" in recipe.name else "kinova_gen2")
    video = recipe.stage == "pretrain"
    cameras = {role: rig.cameras[role] for role in recipe.roles}
    shapes = {role: (camera.height, camera.width) for role, camera in cameras.items()}
    random = np.random.default_rng(0)
    kind = "videos" if video else "demonstrations"
    writer = DatasetWriter(
        root,
        3 if video else round(rig.control_hz),
        shapes,
        None if video else rig,
        {"kind": kind, "source": "bench"},
    )
    # A batch needs at least as many windows; recipes with starts=first have one window per episode.
    episodes = max(
        _EPISODES, recipe.batch + 8 if recipe.starts == "first" else -(-recipe.batch // _LENGTH) + 2
    )
    length = _LENGTH if recipe.starts == "every" else recipe.config.window + recipe.config.future_steps
    for number in range(episodes):
        frames = {
            role: [_synthetic_image(random, shape) for _ in range(length)] for role, shape in shapes.items()
        }
        vectors = (
            [None, None] if video else [random.normal(size=(length, 7)).astype(np.float32) for _ in range(2)]
        )
        writer.add_episode(Episode(f"noise {number}", "put the eggplant on the plate", frames, *vectors, {}))
    writer.close()
    return root


def _synthetic_image(random: np.random.Generator, shape: tuple[int, int]) -> bytes:
    """Blocks of colour and some noise: about as many bytes as a camera's image."""
    height, width = shape
    coarse = (
        random.integers(0, 224, (-(-height // 16), -(-width // 16), 3), np.uint8)
        .repeat(16, 0)
        .repeat(16, 1)[:height, :width]
    )
    return images.encode_jpeg(coarse + random.integers(0, 16, (height, width, 1), np.uint8))
