"""RT-1 at this scale (Brohan et al. 2022): convolutions conditioned by the instruction, a few learned tokens
per image, actions in bins.

    image -> convolutions, each block followed by FiLM of the instruction -> 8 tokens (TokenLearner) -> causal
transformer -> 7 tokens -> bins

As in RT-1: FiLM with the identity as initial value (model/convolution.py), TokenLearner (Ryoo et al. 2021)
with 8 tokens, language only through FiLM, a token for each dimension of the action and one layer that
gives all of them their 256 bins, cross-entropy, the likeliest bin at run time. The differences from RT-1 are
in docs/results/baselines.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gr1_core.baselines import bins
from gr1_core.baselines.base import Baseline, state
from gr1_core.model.config import GR1Config
from gr1_core.model.gr1 import Prediction
from gr1_core.model.transformer import Transformer, initialise, window_masks
from gr1_core.rig import ROLES


class TokenLearner(nn.Module):
    """Each token is a weighted mean of the cells; the weights are computed from the cells themselves."""

    COUNT = 8
    _HIDDEN = 64

    def __init__(self, config: GR1Config):
        super().__init__()
        width = config.vision_width
        self.place = nn.Parameter(torch.empty(config.patches, width).normal_(std=0.02))
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, self._HIDDEN)
        self.act = nn.GELU()
        self.maps = nn.Linear(self._HIDDEN, self.COUNT, bias=False)

    def forward(self, cells: Tensor) -> Tensor:
        """[N, patches, width] -> [N, 8, width]."""
        cells = cells + self.place
        weights = self.maps(self.act(self.up(self.norm(cells)))).softmax(1)
        return weights.transpose(1, 2).to(cells.dtype) @ cells


class RT1(Baseline):
    """See the module."""

    def __init__(self, config: GR1Config):
        super().__init__(config)
        width, feature = config.width, config.vision_width
        self.resampler = TokenLearner(config)
        self.embed_state = nn.Linear(7, width)
        self.embed_patches = nn.ModuleDict({role: nn.Linear(feature, width) for role in ROLES})
        self.embed_time = nn.Parameter(torch.empty(config.window, width))
        self.embed_norm = nn.LayerNorm(width)
        self.query = nn.Parameter(torch.empty(7, width))
        self.transformer = Transformer(config)
        self.arm_bins = nn.Linear(width, bins.COUNT)
        self.gripper = nn.Linear(width, 1)
        initialise(self.transformer)
        for parameter in (self.embed_time, self.query):
            nn.init.normal_(parameter, std=0.02)

    def tokens(
        self, embedding: Tensor, features: Mapping[str, tuple[Tensor, Tensor]], arm: Tensor, gripper: Tensor
    ) -> Tensor:
        rows = [self.embed_state(state(arm, gripper)).unsqueeze(2)]
        for role in ROLES:
            _, cells = features[role]
            learned = self.resampler(cells.flatten(0, 1)).unflatten(0, cells.shape[:2])
            rows.append(self.embed_patches[role](learned))
        return torch.cat(rows, 2)

    def context(self, tokens: Tensor) -> Tensor:
        return self.embed_norm(tokens + self.embed_time[: tokens.shape[1], None]).flatten(1, 2)

    def decide(self, tokens: Tensor, valid: Tensor | None) -> Prediction:
        windows, steps, per_step, _ = tokens.shape
        queries = self.embed_norm(self.query)
        masks = window_masks(steps, per_step, len(queries), valid, tokens.device)
        rows, _ = self.transformer(self.context(tokens), queries.repeat(windows, steps, 1), *masks)
        logits, gripper = self._read_out(rows.unflatten(1, (steps, -1)))
        return Prediction(arm=bins.likeliest(logits), gripper_logit=gripper, arm_bins=logits)

    def act(self, context: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, list]:
        queries = self.embed_norm(self.query).expand(len(context), -1, -1)
        rows, _ = self.transformer(context, queries, None, mask)
        logits, gripper = self._read_out(rows)
        return bins.likeliest(logits).unsqueeze(1), gripper.unsqueeze(1), []

    def _read_out(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The queries' outputs [..., 7, width] -> logits of the arm's bins [..., 6, 256] and of the gripper
        [...].
        """
        return self.arm_bins(rows[..., :6, :]), self.gripper(rows[..., 6, :]).squeeze(-1)
