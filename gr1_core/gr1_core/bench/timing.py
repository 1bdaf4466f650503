"""Timing on shared machines: variants take turns; medians of undisturbed turns, and the machine's peak."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from gr1_core.model.packed_linear import InferenceLinear

UNDISTURBED = 0.95


def interleaved(
    variants: Mapping[str, Callable[[], object]], rounds: int, chunk: float = 0.15
) -> dict[str, float]:
    """Median milliseconds of each variant. Each round runs every variant in turn, each for at least `chunk`
    seconds.

    Chunks in which other programs took the processor away (less processor time a second than in the variant's
    best) are left out.
    """
    for run in variants.values():
        run()
    chunks: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            count, start, used = 0, time.perf_counter(), time.process_time()
            while time.perf_counter() - start < chunk or count == 0:
                run()
                count += 1
            wall = time.perf_counter() - start
            chunks[name].append((wall / count * 1e3, (time.process_time() - used) / wall))
    medians = {}
    for name, values in chunks.items():
        best = max(share for _, share in values)
        medians[name] = statistics.median(ms for ms, share in values if share >= UNDISTURBED * best)
    return medians


def peak_gflops(dtype: torch.dtype, rounds: int) -> float:
    """The most GFLOP/s that this machine reaches in a matrix product: the best of two square sizes and a
    ViT's shape, plain and packed.
    """
    shapes = [(1024, 1024, 1024), (2048, 2048, 2048), (1970, 768, 2304)]
    best = 0.0
    with torch.inference_mode():
        for rows, inner, columns in shapes:
            x, linear = torch.randn(rows, inner).to(dtype), nn.Linear(inner, columns, bias=False).to(dtype)
            variants = {"plain": partial(linear, x), "packed": partial(InferenceLinear(linear, dtype), x)}
            fastest = min(interleaved(variants, rounds, 0.05).values())
            best = max(best, 2 * rows * inner * columns / fastest / 1e6)
    return best
