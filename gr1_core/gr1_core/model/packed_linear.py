"""Linear layers for inference in a given precision; on a CPU with weights packed once in oneDNN's layout.

PyTorch's own `linear` packs the weights at every call (bf16) or uses MKL (fp32), which on some processors
reaches less than half of oneDNN's speed. The operators used here are those that torch.compile emits when it
freezes a model.

Only the products change their precision. Norms, embeddings and, by type promotion, the residual stream keep
theirs: this costs little and keeps rounding errors from accumulating over the layers.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ACTIVATIONS = {nn.ReLU: "relu", nn.GELU: "gelu"}


class InferenceLinear(nn.Module):
    """Replaces nn.Linear in inference. post: activation of the result, "none", "relu" or "gelu" (erf)."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, post: str = "none"):
        super().__init__()
        self.dtype, self.post, self.out_features = dtype, post, linear.out_features
        # Plain attributes: a tensor in oneDNN's layout cannot be moved, cast or saved like a parameter.
        self.weight = linear.weight.detach().to(dtype).contiguous()
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        self.packed = self.weight.device.type == "cpu" and can_pack(dtype)
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, None)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if self.packed:
            algorithm = "none" if self.post == "gelu" else ""
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.post, [], algorithm)
        y = F.linear(x, self.weight, self.bias)
        return y if self.post == "none" else getattr(F, self.post)(y)


class Int8Linear(nn.Module):
    """As InferenceLinear with 8-bit products (AVX512-VNNI): weights per output channel, inputs per call and
    tensor.

    The result is fp32.
    """

    def __init__(self, linear: nn.Linear, post: str = "none"):
        super().__init__()
        weight = linear.weight.detach().float()
        self.post, self.out_features = post, linear.out_features
        self.scale = (weight.abs().amax(1) / 127).clamp(min=1e-12)
        quantised = (weight / self.scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        self.weight = torch.ops.onednn.qlinear_prepack(quantised, None)
        self.zeros = torch.zeros(self.out_features, dtype=torch.int32)
        self.bias = None if linear.bias is None else linear.bias.detach().float()

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).float()
        low, high = (float(bound) for bound in rows.aminmax())
        # Zero must be among the 256 values: it is what an activation's ReLU gives most often.
        low, high = min(low, 0.0), max(high, 0.0)
        if not math.isfinite(high - low):
            return rows.new_full((*x.shape[:-1], self.out_features), math.nan)
        scale = max((high - low) / 255, 1e-12)
        zero = round(-low / scale)
        quantised = (rows / scale + zero).round_().clamp_(0, 255).to(torch.uint8)
        algorithm = "none" if self.post == "gelu" else ""
        y = torch.ops.onednn.qlinear_pointwise(
            quantised,
            scale,
            zero,
            self.weight,
            self.scale,
            self.zeros,
            self.bias,
            1.0,
            0,
            torch.float32,
            self.post,
            [],
            algorithm,
        )
        return y.reshape(*x.shape[:-1], self.out_features)


def can_pack(dtype: torch.dtype) -> bool:
    """Whether PyTorch has oneDNN's product of this type on this processor."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if dtype == torch.int8:
        return hasattr(torch.ops.onednn, "qlinear_pointwise") and torch.cpu._is_vnni_supported()
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def pack(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Replaces every nn.Linear of `module` in place and fuses the activations of feed-forward parts. For
    inference only.
    """
    if isinstance(module, nn.Linear):
        return Int8Linear(module) if dtype == torch.int8 else InferenceLinear(module, dtype)
    for name, child in module.named_children():
        setattr(module, name, pack(child, dtype))
    # The first layer of a feed-forward part is `fc1` in timm and `up` in this model.
    first = getattr(module, "fc1", None) or getattr(module, "up", None)
    activation = type(getattr(module, "act", None))
    if isinstance(first, (InferenceLinear, Int8Linear)) and activation in _ACTIVATIONS:
        first.post = _ACTIVATIONS[activation]
        module.act = nn.Identity()
    return module
