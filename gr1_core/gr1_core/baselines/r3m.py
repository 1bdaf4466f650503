"""Behaviour cloning on frozen image features, as R3M is used (Nair et al. 2022, "R3M: A Universal Visual
Representation"): an MLP acts from a frozen encoder's features of the current frames, the state and the
instruction.

The encoder is the run's initial one: of a pre-trained or fine-tuned checkpoint (`init=DIR`), or random. The
MLP reads of an image what GR-1's transformer reads: the [CLS] token and the resampler's latents, which keep
more of the objects' places than R3M's mean over the image. The differences from R3M are in
docs/results/baselines.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gr1_core.baselines.base import Baseline, state
from gr1_core.model.config import GR1Config
from gr1_core.model.gr1 import Prediction
from gr1_core.model.resampler import GridResampler, PerceiverResampler
from gr1_core.rig import ROLES


class R3M(Baseline):
    """See the module. One token per step: all of the MLP's inputs, concatenated."""

    def __init__(self, config: GR1Config):
        super().__init__(config)
        width, hidden, seen = config.width, config.mlp_width, (config.latents + 1) * config.vision_width
        self.resampler = (PerceiverResampler if config.resampler == "perceiver" else GridResampler)(config)
        self.embed_language = nn.Linear(config.text_dim, width)
        self.embed_state = nn.Linear(7, width)
        self.embed_patches = nn.ModuleDict({role: nn.Linear(seen, width) for role in ROLES})
        self.mlp = nn.Sequential(
            nn.LayerNorm(4 * width),
            nn.ReLU(),
            nn.Linear(4 * width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.arm = nn.Linear(hidden, 6)
        self.gripper = nn.Linear(hidden, 1)

    def tokens(
        self, embedding: Tensor, features: Mapping[str, tuple[Tensor, Tensor]], arm: Tensor, gripper: Tensor
    ) -> Tensor:
        language = self.embed_language(self.text_features(embedding))
        parts = [language[:, None].expand(-1, arm.shape[1], -1), self.embed_state(state(arm, gripper))]
        for role in ROLES:
            cls, cells = features[role]
            latents = self.resampler(cells.flatten(0, 1)).unflatten(0, cells.shape[:2])
            parts.append(self.embed_patches[role](torch.cat([cls.unsqueeze(2), latents], 2).flatten(2)))
        return torch.cat(parts, -1).unsqueeze(2)

    def context(self, tokens: Tensor) -> Tensor:
        return tokens.flatten(1, 2)

    def decide(self, tokens: Tensor, valid: Tensor | None) -> Prediction:
        hidden = self.mlp(self.context(tokens))
        return Prediction(arm=self.arm(hidden), gripper_logit=self.gripper(hidden).squeeze(-1))

    def act(self, context: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, list]:
        prediction = self.decide(context[:, -1:, None], None)
        return prediction.arm[:, :1], prediction.gripper_logit[:, :1], []
