"""The causal transformer, with separate context and query tokens.

GR-1's query tokens ([ACT], [OBS], [OBS_HAND]) are masked as keys: no token attends to them, not even they
themselves. So a sequence splits into context tokens, which attend causally to the context, and queries, which
only read the context. Therefore the context's mask is a plain causal one, past queries can be dropped, and
further queries can be evaluated later from the context's keys and values.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gr1_core.model.config import GR1Config

KeysValues = tuple[Tensor, Tensor]


def initialise(part: nn.Module) -> None:
    """GPT-2's initial weights for linear layers: truncated normal with std 0.02, biases 0."""
    for module in part.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def window_masks(
    steps: int, per_step: int, queries: int, valid: Tensor | None, device
) -> tuple[Tensor | None, Tensor]:
    """The context mask and the query mask of `Transformer` for a window. A step's queries see the context up
    to and with this step.

    per_step, queries: context tokens and queries of one step. valid bool[N, steps]: invalid steps are seen by
    no token; None: all valid.
    """
    of_key = torch.arange(steps, device=device).repeat_interleave(per_step)
    of_query = torch.arange(steps, device=device).repeat_interleave(queries)
    query_mask = (of_query[:, None] >= of_key)[None, None]
    if valid is None:
        return None, query_mask
    keys = valid.bool()[:, of_key][:, None, None]
    causal = torch.ones(len(of_key), len(of_key), dtype=torch.bool, device=device).tril()
    return causal & keys, query_mask & keys


class Block(nn.Module):
    """A pre-norm GPT-2 block with ReLU."""

    def __init__(self, config: GR1Config):
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.dropout = config.dropout
        self.norm_1 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(width, 2 * width)
        self.to_out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, config.mlp_width)
        self.act = nn.ReLU()
        self.down = nn.Linear(config.mlp_width, width)
        self.drop = nn.Dropout(config.dropout)

    def keys_values(self, normed: Tensor) -> KeysValues:
        """[N, C, W] after `norm_1` -> keys and values, each [N, heads, C, W / heads]."""
        k, v = self.to_kv(normed).chunk(2, -1)
        return self._split(k), self._split(v)

    def attend(self, q: Tensor, keys_values: KeysValues, mask: Tensor | None, causal: bool = False) -> Tensor:
        """q [N, R, W] -> [N, R, W]. mask bool[N or 1, 1, R, C]: True where a row attends; None: everywhere,
        or causally.
        """
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(
            self._split(q), *keys_values, attn_mask=mask, is_causal=causal, dropout_p=dropout
        )
        return out.transpose(1, 2).flatten(2)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Residual stream [N, R, W] and attention's result [N, R, W] -> the block's output [N, R, W]."""
        x = x + self.drop(self.to_out(attended))
        return x + self.drop(self.down(self.act(self.up(self.norm_2(x)))))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Transformer(nn.Module):
    """GPT-2 blocks over context and queries; see the module."""

    def __init__(self, config: GR1Config):
        super().__init__()
        # Unused; part of the published weights and of the paper's parameter count.
        self.wte = nn.Parameter(torch.zeros(1, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self,
        context: Tensor,
        queries: Tensor,
        context_mask: Tensor | None = None,
        query_mask: Tensor | None = None,
    ) -> tuple[Tensor, list[KeysValues]]:
        """context [N, C, W], queries [N, Q, W] -> the queries' outputs [N, Q, W], and each layer's keys and
        values of the context.

        Masks are bool, True where a row attends: context_mask [N or 1, 1, C, C] (None: causal), query_mask [N
        or 1, 1, Q, C] (None: to the whole context). The context's own outputs are not needed, so the last
        layer computes only its keys and values.
        """
        count = context.shape[1]
        x = self.drop(torch.cat([context, queries], 1))
        memory = []
        for block in self.blocks[:-1]:
            normed = block.norm_1(x)
            memory.append(block.keys_values(normed[:, :count]))
            q = block.to_q(normed)
            read = block.attend(q[:, :count], memory[-1], context_mask, causal=context_mask is None)
            attended = torch.cat([read, block.attend(q[:, count:], memory[-1], query_mask)], 1)
            x = block.finish(x, attended)
        last = self.blocks[-1]
        normed = last.norm_1(x)
        memory.append(last.keys_values(normed[:, :count]))
        rows = last.finish(x[:, count:], last.attend(last.to_q(normed[:, count:]), memory[-1], query_mask))
        return self.norm(rows), memory

    def read(self, queries: Tensor, memory: list[KeysValues], mask: Tensor | None = None) -> Tensor:
        """Further queries [N, Q, W] on the context of `forward`'s keys and values -> their outputs [N, Q, W].

        mask: as query_mask of `forward`.
        """
        x = queries
        for block, keys_values in zip(self.blocks, memory, strict=True):
            x = block.finish(x, block.attend(block.to_q(block.norm_1(x)), keys_values, mask))
        return self.norm(x)
