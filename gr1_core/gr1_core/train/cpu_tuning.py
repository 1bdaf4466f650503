"""What makes training fast on this machine's processor."""

from __future__ import annotations

import ctypes
import sys
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def configure(device: torch.device, threads: int | None) -> None:
    """Threads, and memory that is kept between steps. Call once, before the first step."""
    if device.type != "cpu":
        # Of what stays in fp32 (the text tower, the heads), the products.
        torch.set_float32_matmul_precision("high")
        return
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # despite its name, also for the CPU
    if sys.platform == "linux":
        # Else glibc gives large blocks back at once, and every step pays for fresh, zeroed pages.
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except AttributeError:
            return
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


def attention(device: torch.device) -> AbstractContextManager:
    """On a CPU, attention as plain products: the backward pass of the fused kernel takes four to eight times as long."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
