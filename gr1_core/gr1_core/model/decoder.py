"""The image decoder: a small ViT from the outputs of one camera's [OBS] queries to the future frame's
patches, or to their change.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from gr1_core.model.config import GR1Config
from gr1_core.model.transformer import initialise
from gr1_core.model.vit_block import ViTBlock


class ImageDecoder(nn.Module):
    """config.frames "normalised": predicts the future frame's patches. "change": predicts the difference to
    the current frame's patches.

    An untrained decoder of changes predicts zero, which reproduces the current frame.
    """

    def __init__(self, config: GR1Config):
        super().__init__()
        self.embed = nn.Linear(config.width, config.width)
        self.mask_token = nn.Parameter(torch.zeros(config.width))
        self.pos_embed = nn.Parameter(sin_cos_positions(config.width, config.grid), requires_grad=False)
        # nn.LayerNorm's own eps of 1e-5 here, unlike the encoder's 1e-6.
        self.blocks = nn.ModuleList(
            ViTBlock(config.width, config.decoder_heads) for _ in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.pred = nn.Linear(config.width, config.patch_dim)
        self.present = nn.Linear(config.patch_dim, config.width) if config.frames == "change" else None

    def initialise(self) -> None:
        initialise(self)
        nn.init.normal_(self.mask_token, std=0.02)
        if self.present is not None:
            nn.init.zeros_(self.pred.weight)

    def forward(self, rows: Tensor, present: Tensor | None = None) -> Tensor:
        """Outputs of the queries of one frame, [N, latents + 1, width] -> [N, patches, patch_dim], see the
        class.

        present: the current frame's patches [N, patches, patch_dim]; needed for frames "change".
        """
        queries = self.embed(rows)
        masks = (self.mask_token + self.pos_embed).expand(len(rows), -1, -1)
        if self.present is not None:
            masks = masks + self.present(present)
        x = torch.cat([queries, masks.to(queries.dtype)], 1)
        for block in self.blocks:
            x = block(x)
        return self.pred(self.norm(x[:, queries.shape[1] :]))


def sin_cos_positions(width: int, grid: int) -> Tensor:
    """MAE's fixed 2-D positions f32[grid * grid, width], row by row: the first half of the channels encodes
    the column, the second the row.
    """
    omega = 10000.0 ** (-np.arange(width // 4, dtype=np.float64) / (width // 4))
    angles = np.arange(grid, dtype=np.float64)[:, None] * omega
    line = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    columns, rows = np.tile(line, (grid, 1)), np.repeat(line, grid, 0)
    return torch.from_numpy(np.concatenate([columns, rows], 1)).float()
