"""Linear layers for inference: in the precision asked for, on a CPU laid out once the way oneDNN wants them.

PyTorch's own `linear` lays the weights out anew at every call (bf16) or goes through MKL (fp32), which on some processors reaches less
than half of oneDNN's speed. The operators used here are those that torch.compile emits when it freezes a model.

Only the products change their precision. Norms, embeddings and, by type promotion, the residual stream stay as they are, which
costs little and keeps the rounding of one layer from piling up on the next.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ACTIVATIONS = {nn.ReLU: "relu", nn.GELU: "gelu"}


class InferenceLinear(nn.Module):
    """Drop-in for nn.Linear in inference; `post`: "none", "relu" or "gelu" (erf), applied to the result."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, post: str = "none"):
        super().__init__()
        self.dtype, self.post, self.out_features = dtype, post, linear.out_features
        # Plain attributes: an oneDNN tensor cannot be moved, cast or saved like a parameter.
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
    """Whether this build of PyTorch, on this processor, has oneDNN's product for the type."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def pack(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Replaces every nn.Linear at or below `module`, in place, and fuses the activation of feed-forward parts. For inference only."""
    if isinstance(module, nn.Linear):
        return InferenceLinear(module, dtype)
    for name, child in module.named_children():
        setattr(module, name, pack(child, dtype))
    # timm calls a feed-forward part's first layer fc1, this model calls it up.
    first = getattr(module, "fc1", None) or getattr(module, "up", None)
    if isinstance(first, InferenceLinear) and type(getattr(module, "act", None)) in _ACTIVATIONS:
        first.post = _ACTIVATIONS[type(module.act)]
        module.act = nn.Identity()
    return module
