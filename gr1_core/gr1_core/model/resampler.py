"""Resamplers, many patch tokens -> a few latents: the perceiver (Alayrac et al. 2022, as in
flamingo-pytorch), or a grid.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gr1_core.model.config import GR1Config


class CrossAttention(nn.Module):
    """Latents attend to the media and to themselves."""

    def __init__(self, width: int, heads: int, head_dim: int):
        super().__init__()
        self.heads = heads
        self.norm_media = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * head_dim, bias=False)
        self.to_kv = nn.Linear(width, 2 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, width, bias=False)

    def forward(self, media: Tensor, latents: Tensor) -> Tensor:
        """media [N, M, W], latents [N, L, W] -> [N, L, W]."""
        latents = self.norm_latents(latents)
        q = self.to_q(latents)
        k, v = self.to_kv(torch.cat([self.norm_media(media), latents], 1)).chunk(2, -1)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Norm, then two linear layers with GELU between them."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.act = nn.GELU()
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(self.norm(x))))


class PerceiverResampler(nn.Module):
    """Learned latents that attend to the patch tokens in several layers."""

    def __init__(self, config: GR1Config):
        super().__init__()
        width = config.vision_width
        self.latents = nn.Parameter(torch.empty(config.latents, width).normal_())
        # One media embedding, since each call has one image. It is added to the media once and never to the
        # latents.
        self.media_pos_emb = nn.Parameter(torch.empty(1, 1, width).normal_())
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [CrossAttention(width, config.resampler_heads, config.resampler_head_dim), FeedForward(width)]
            )
            for _ in range(config.resampler_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: Tensor) -> Tensor:
        """Patch tokens [N, patches, width] of one image each -> [N, latents, width]."""
        media = patches + self.media_pos_emb[0]
        latents = self.latents.expand(len(patches), -1, -1)
        for attention, feed_forward in self.layers:
            latents = latents + attention(media, latents)
            latents = latents + feed_forward(latents)
        return self.norm(latents)


class GridResampler(nn.Module):
    """Each latent is one linear layer of a square of neighbouring patches, concatenated, plus a learned
    embedding of its place.
    """

    def __init__(self, config: GR1Config):
        super().__init__()
        self.side = math.isqrt(config.latents)
        self.cells = config.grid // self.side
        self.project = nn.Linear(self.cells**2 * config.vision_width, config.vision_width)
        self.place = nn.Parameter(torch.empty(config.latents, config.vision_width).normal_(std=0.02))

    def forward(self, patches: Tensor) -> Tensor:
        """Patch tokens [N, patches, width] of one image each, row by row -> [N, latents, width], likewise."""
        squares = patches.reshape(len(patches), self.side, self.cells, self.side, self.cells, -1)
        return self.project(squares.transpose(2, 3).flatten(3).flatten(1, 2)) + self.place
