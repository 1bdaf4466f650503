"""Linear layers for inference on a CPU: weights laid out once the way oneDNN wants them, activations fused into the product.

PyTorch's own `linear` lays the weights out anew at every call (bf16) or goes through MKL (fp32), which on some processors reaches less
than half of oneDNN's speed. The operators used here are those that torch.compile emits when it freezes a model.
"""

from __future__ import annotations

import torch
from timm.layers import Mlp
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """Drop-in for nn.Linear in inference; `post`: "none", "relu" or "gelu" (erf), applied inside the product."""

    def __init__(self, linear: nn.Linear, post: str = "none"):
        super().__init__()
        weight = linear.weight.detach().contiguous()
        self.out_features = linear.out_features
        # Plain attributes: an oneDNN tensor cannot be moved, cast or saved like a parameter.
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.post, self.algorithm = post, "none" if post == "gelu" else ""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, self.post, [], self.algorithm)


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this build of PyTorch, on this processor, has oneDNN's product for the type."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def pack(module: nn.Module) -> nn.Module:
    """Replaces every nn.Linear below `module`, in place, and fuses the activation of feed-forward parts. For inference only."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, PackedLinear(child))
        else:
            pack(child)
    first, act = ("fc1", "act") if isinstance(module, Mlp) else ("up", "act")
    post = {nn.ReLU: "relu", nn.GELU: "gelu"}.get(type(getattr(module, act, None)))
    if post and isinstance(getattr(module, first, None), PackedLinear):
        linear = getattr(module, first)
        linear.post, linear.algorithm = post, "none" if post == "gelu" else ""
        setattr(module, act, nn.Identity())
    return module
