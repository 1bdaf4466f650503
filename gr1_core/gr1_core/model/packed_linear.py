"""Linear layers for inference in a given precision; on a CPU with weights packed once in oneDNN's layout.

PyTorch's own `linear` packs the weights at every call (bf16) or uses MKL (fp32), which on some processors
reaches less than half of oneDNN's speed. The operators used here are those that torch.compile emits when it
freezes a model.

Only the products change their precision. Norms, embeddings and, by type promotion, the residual stream keep
theirs: this costs little and keeps rounding errors from accumulating over the layers.
"""

from __future__ import annotations

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


def can_pack(dtype: torch.dtype) -> bool:
    """Whether PyTorch has oneDNN's product of this type on this processor."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def pack(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Replaces every nn.Linear of `module` in place and fuses the activations of feed-forward parts. For
    inference only.
    """
    if isinstance(module, nn.Linear):
        return InferenceLinear(module, dtype)
    for name, child in module.named_children():
        setattr(module, name, pack(child, dtype))
    # The first layer of a feed-forward part is `fc1` in timm and `up` in this model.
    first = getattr(module, "fc1", None) or getattr(module, "up", None)
    if isinstance(first, InferenceLinear) and type(getattr(module, "act", None)) in _ACTIVATIONS:
        first.post = _ACTIVATIONS[type(module.act)]
        module.act = nn.Identity()
    return module
