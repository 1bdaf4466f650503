"""How many windows fit into a device's memory at once."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from gr1_core.train import cpu_tuning, losses
from gr1_core.train.losses import Inputs, Objective
from gr1_core.train.recipe import Recipe

# Of the free memory; the rest is for allocation losses, the optimizer's first step and decoded images.
_USABLE = 0.7
BACKWARD = 1.5
"""Peak memory of the backward pass over what the forward pass saves."""


def saved_bytes_per_window(
    objective: Objective, recipe: Recipe, device: torch.device, plain_attention: bool = True
) -> int:
    """Bytes that autograd saves in the forward pass per window: two windows minus one.

    plain_attention=False: with a fused kernel, as on a GPU, also on a CPU.
    """
    one, two = (
        _saved_bytes(
            objective,
            recipe,
            device,
            count,
            cpu_tuning.attention(device) if plain_attention else nullcontext(),
        )
        for count in (1, 2)
    )
    return max(1, two - one)


def _saved_bytes(
    objective: Objective,
    recipe: Recipe,
    device: torch.device,
    count: int,
    attention: AbstractContextManager,
) -> int:
    fixed = {value.untyped_storage().data_ptr() for value in objective.parameters()}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in fixed:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    inputs = noise_inputs(objective, recipe, device, count)
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        attention,
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        # The result is kept until all is counted: freed storages would share addresses.
        kept = losses.total_loss(objective(inputs), recipe.loss, (1, 1, 1))
    del kept
    return sum(saved.values())


def noise_inputs(
    objective: Objective, recipe: Recipe, device: torch.device, count: int, video: bool = True
) -> Inputs:
    """Inputs of `count` windows with random content and the recipe's shapes. video: with future frames."""
    config, random = objective.model.config, torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=random).to(device)

    robot, steps, size = recipe.stage == "finetune", config.window, config.image_size
    inputs = Inputs(
        embedding=None if config.trains_text else noise(config.text_dim),
        tokens=_tokens(count).to(device) if config.trains_text else None,
        state=noise(steps, 7) if robot else None,
        action=noise(steps, 7) if robot else None,
        valid=None,
        future=None,
    )
    if robot and config.chunk > 1:
        inputs.later_action = noise(config.chunk - 1, 7)
        inputs.later_valid = torch.ones(count, config.chunk - 1, dtype=torch.bool, device=device)
    for role in recipe.roles:
        if recipe.train_vision:
            inputs.images[role] = noise(steps, 3, size, size)
        else:
            width = config.vision_width
            inputs.features[role] = noise(steps, width), noise(steps, config.patches, width)
        if video and role in recipe.targets:
            inputs.future_images[role] = noise(steps, 3, size, size)
    return inputs


def _tokens(count: int) -> Tensor:
    from gr1_core.model.language import tokenize

    return torch.tensor([tokenize("put the eggplant on the plate")]).expand(count, -1)


def available_bytes(device: torch.device) -> int:
    """Free memory for this process: of the GPU, or its share of the machine's (and its control group's) main
    memory.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return _free_main_memory() // local


def _free_main_memory() -> int:
    free = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")]
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
        free = [int(lines["MemAvailable"].split()[0]) * 1024]
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()) != "max":
        free.append(max(0, int(text) - int(used.read_text())))
    return min(free)


def fitting_micro_batch(share: int, per_window: int, available: int) -> int:
    """The largest of share, share / 2, share / 4, ... (rounded up) windows that fit. Raises MemoryError if
    not even one does.

    Halves only, so that a little more or less free memory gives the same cut.
    """
    size = share
    while size * per_window * BACKWARD > _USABLE * available:
        if size == 1:
            raise MemoryError(
                f"one window needs {per_window * BACKWARD / 1e9:.2f} GB for its gradients, "
                f"{available / 1e9:.2f} GB are free: choose a smaller model, or a device with more memory"
            )
        size = -(-size // 2)
    return size
