"""`gr1 bench train`: how fast a recipe trains on this machine, and how much of the processor that uses."""

from __future__ import annotations

import dataclasses
import json
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
from gr1_core.train import cpu_tuning, losses
from gr1_core.train.losses import Inputs
from gr1_core.train.recipe import Recipe
from gr1_core.train.signals import StopSignal
from gr1_core.train.state import RunFolder
from gr1_core.train.trainer import Trainer

_EPISODES, _LENGTH = 8, 60


def run(recipe: Recipe, steps: int) -> dict:
    """Trains for some steps in a folder that is thrown away, measures and prints; the last line is the JSON document that is returned."""
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="gr1-bench-") as scratch:
        if not recipe.data:
            recipe = dataclasses.replace(recipe, data=str(synthetic_dataset(recipe, Path(scratch) / "data")))
        # Random weights are as fast as any; nothing is evaluated or saved while the clock runs.
        recipe = dataclasses.replace(
            recipe, out=f"{scratch}/run", init=None, encoders="random", validation=None, steps=10**6, save_every=10**6,
            evaluation=dataclasses.replace(recipe.evaluation, every=10**6),
        )  # fmt: skip
        with RunFolder(recipe.out) as folder, StopSignal() as stop:
            trainer = Trainer(recipe, folder)
            try:
                result = _measure(trainer, stop, steps, console)
            finally:
                trainer.close()
    if trainer.main:
        console.print(
            f"{result['windows_per_s']:.2f} windows/s, {result['step_s']:.3f} s a step of {recipe.batch}; "
            f"waiting for data {result['waiting']:.0%}; "
            f"{result['tflops']:.3g} TFLOP/s, {result['of_peak']:.0%} of the {result['peak_tflops']:.3g} that a matrix product reaches here"
        )  # fmt: skip
        print(json.dumps(result))
    return result


def _measure(trainer: Trainer, stop: StopSignal, steps: int, console: Console) -> dict:
    recipe, device = trainer.recipe, trainer.device
    flop = flop_per_window(trainer)
    times, waits = [], []
    with trainer.feed.loader(trainer.data.train, trainer.order.micro_batches(0)) as loader:
        # The first steps allocate memory and choose kernels.
        for number in range(steps + 2):
            waited, began = loader.waited_s + trainer.feed.waited_s, time.perf_counter()
            if trainer._update(loader, stop):
                raise KeyboardInterrupt
            if number >= 2:
                times.append(time.perf_counter() - began)
                waits.append(loader.waited_s + trainer.feed.waited_s - waited)
    step = statistics.median(times)
    speed = recipe.batch / step
    peak = peak_tflops(device, trainer.precision == "bf16") * trainer.world
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
    return {
        "recipe": recipe.name, "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu", "processes": trainer.world,
        "threads": torch.get_num_threads(), "precision": trainer.precision, "cached": trainer.feed.cached, "batch": recipe.batch,
        "steps": steps, "step_s": step, "windows_per_s": speed, "waiting": sum(waits) / sum(times), "gflop_per_window": flop / 1e9,
        "tflops": speed * flop / 1e12, "peak_tflops": peak, "of_peak": speed * flop / 1e12 / peak, "gpu_memory_gb": memory,
    }  # fmt: skip


def flop_per_window(trainer: Trainer) -> float:
    """Of one window, forward and backward and, unless it was encoded beforehand, through the frozen encoder."""
    recipe, model, device = trainer.recipe, trainer.model, trainer.device
    config = model.config
    random = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random).to(device)

    pictures = {
        role: noise(1, config.window, 3, config.image_size, config.image_size) for role in recipe.roles
    }
    robot = recipe.stage == "finetune"
    inputs = Inputs(
        embedding=noise(1, config.text_dim),
        state=noise(1, config.window, 7) if robot else None,
        action=noise(1, config.window, 7) if robot else None,
        valid=None,
        future=None,
        future_images={role: pictures[role] for role in trainer.feed.wants.future},
    )
    share = recipe.video_share if trainer.feed.wants.future and robot else 1.0
    flop = share * _flop(trainer, inputs, pictures)
    if share < 1:
        inputs.future_images = {}
        flop += (1 - share) * _flop(trainer, inputs, pictures)
    return flop


def _flop(trainer: Trainer, inputs: Inputs, pictures: dict[str, torch.Tensor]) -> int:
    recipe, model, config = trainer.recipe, trainer.model, trainer.model.config
    counter = FlopCounterMode(display=False)
    with counter, cpu_tuning.attention(trainer.device):
        for role, seen in pictures.items():
            if recipe.train_vision:
                inputs.seen[role] = seen
            elif trainer.feed.cached:
                inputs.features[role] = (
                    seen.new_zeros(1, config.window, config.vision_width),
                    seen.new_zeros(1, config.window, config.patches, config.vision_width),
                )
            else:
                # The encoder's own copy has products that the counter does not know.
                with torch.no_grad():
                    inputs.features[role] = tuple(
                        part.unflatten(0, (1, -1)) for part in model.vision(seen[0])
                    )
        losses.total(trainer.objective(inputs), recipe.loss, (config.window, config.window)).backward()
    model.zero_grad(set_to_none=True)
    return counter.get_total_flops()


def peak_tflops(device: torch.device, bf16: bool) -> float:
    """What a large matrix product reaches on this machine."""
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
    """A dataset of noise with the frame sizes that the recipe's own data have, so that decoding costs what it costs there."""
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
    for number in range(_EPISODES):
        frames = {role: [_picture(random, shape) for _ in range(_LENGTH)] for role, shape in shapes.items()}
        vectors = (
            [None, None] if video else [random.normal(size=(_LENGTH, 7)).astype(np.float32) for _ in range(2)]
        )
        writer.add_episode(Episode(f"made up {number}", "put the eggplant on the plate", frames, *vectors, {}))
    writer.close()
    return root


def _picture(random: np.random.Generator, shape: tuple[int, int]) -> bytes:
    """Blocks of colour and some noise: about as many bytes as a camera's picture."""
    height, width = shape
    coarse = (
        random.integers(0, 224, (-(-height // 16), -(-width // 16), 3), np.uint8)
        .repeat(16, 0)
        .repeat(16, 1)[:height, :width]
    )
    return images.encode_jpeg(coarse + random.integers(0, 16, (height, width, 1), np.uint8))
