"""CLIP's text tower (Radford et al. 2021), from transformers. Imported only for models that have one: the
import takes longer than PyTorch's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from gr1_core.model.config import GR1Config
from gr1_core.model.language import CONTEXT, END, START, VOCABULARY


class TextEncoder(nn.Module):
    """CLIP's text tower with its projection. Frozen in GR-1."""

    def __init__(self, config: GR1Config):
        super().__init__()
        self.clip = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=VOCABULARY,
                max_position_embeddings=CONTEXT,
                hidden_size=config.text_width,
                intermediate_size=4 * config.text_width,
                num_hidden_layers=config.text_layers,
                num_attention_heads=config.text_heads,
                projection_dim=config.text_dim,
                hidden_act="quick_gelu",
                bos_token_id=START,
                eos_token_id=END,
            )
        )
        # Part of the published weights and of the paper's parameter count; only CLIP's contrastive loss uses
        # it.
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids i64[N, 77] -> CLIP's text embedding [N, text_dim], not normalised."""
        # The tower is causal: tokens after the last end token have no influence. Leaving them out is exact
        # and much faster.
        length = int((tokens == END).int().argmax(-1).max()) + 1
        return self.clip(input_ids=tokens[:, :length]).text_embeds
