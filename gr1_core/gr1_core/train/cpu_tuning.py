"""Settings of PyTorch and of the C library that make training fast, and fp32 exact."""

from __future__ import annotations

import ctypes
import sys
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from gr1_core.model.precision import allow_tf32

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def configure(device: torch.device, threads: int | None, precision: str) -> None:
    """Sets the CPU threads, keeps freed memory for the next step, and allows TF32 only beside bf16. Call
    once, before the first step.
    """
    if device.type != "cpu":
        allow_tf32(precision == "bf16")
        return
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # despite its name, also for the CPU
    if sys.platform == "linux":
        # Otherwise glibc returns large blocks to the system at once, and every step pays for new, zeroed
        # pages.
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except AttributeError:
            return
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


def attention(device: torch.device) -> AbstractContextManager:
    """On a CPU, attention as plain products: the fused kernel's backward pass takes four to eight times as
    long.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
