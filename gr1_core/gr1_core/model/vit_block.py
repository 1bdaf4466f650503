"""A block of a vision transformer with pre-normalisation, its parameters named as in timm and in MAE's
checkpoints.

timm's own block is equal to it (tests/core/test_vit_block.py). Its import takes as long as PyTorch's, which
the policy node would pay at each start for one decoder.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ViTBlock(nn.Module):
    """width: of the tokens; heads: of the attention, which must divide it. The feed-forward part is 4 times
    as wide. Normalisation with nn.LayerNorm's own eps of 1e-5.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = _FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, tokens, width] -> [N, tokens, width]."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        samples, tokens, width = x.shape
        parts = self.qkv(x).reshape(samples, tokens, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(samples, tokens, width))


class _FeedForward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))
