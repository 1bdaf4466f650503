"""The number formats that a device multiplies fast."""

from __future__ import annotations

import torch


def best_precision(device: torch.device) -> str:
    """ "bf16" where the device multiplies it natively (CUDA from Ampere on, AVX512-BF16, AMX), otherwise
    "fp32".

    Volta, Turing and CPUs without these instructions emulate bf16 and are slower with it than with fp32.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def allow_tf32(allowed: bool) -> None:
    """Whether CUDA may compute fp32 products and convolutions in TF32 (10 bits of mantissa). Applies to the
    whole process.
    """
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
