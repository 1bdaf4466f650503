"""The baselines' common part: inputs as GR-1 (instruction, state, both cameras), outputs as GR-1 without
frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from gr1_core.model.encoders import Encoders
from gr1_core.model.gr1 import Prediction
from gr1_core.rig import ROLES


class Baseline(Encoders, ABC):
    """Implements the interface of GR1 that the trainer, `Policy` and `BatchPolicy` use."""

    def step_tokens(self, language: Tensor, images: Tensor, arm: Tensor, gripper: Tensor) -> Tensor:
        """As GR1.step_tokens; language [..., 1, text_dim] of `encode_text`."""
        embedding = language.reshape(-1, language.shape[-1])
        cls, cells = self.encode_images(images.reshape(-1, *images.shape[-4:]), embedding)
        features = {role: (cls[:, i : i + 1], cells[:, i : i + 1]) for i, role in enumerate(ROLES)}
        tokens = self.tokens(embedding, features, arm.reshape(-1, 1, 6), gripper.reshape(-1, 1))
        return tokens.reshape(*images.shape[:-4], *tokens.shape[-2:]).to(language.dtype)

    def predict(
        self,
        embedding: Tensor,
        features: Mapping[str, tuple[Tensor, Tensor]],
        arm: Tensor,
        gripper: Tensor,
        valid: Tensor | None = None,
        targets: Collection[str] = ("action",),
    ) -> Prediction:
        """As GR1.predict, actions alone."""
        steps = arm.shape[1]
        if steps > self.config.window:
            raise ValueError(f"{steps} steps do not fit the window of {self.config.window}")
        if set(targets) != {"action"}:
            raise ValueError(
                f"targets {sorted(targets)}: policy '{self.config.policy}' predicts no frames, only action"
            )
        return self.decide(self.tokens(embedding, features, arm, gripper), valid)

    @abstractmethod
    def tokens(
        self, embedding: Tensor, features: Mapping[str, tuple[Tensor, Tensor]], arm: Tensor, gripper: Tensor
    ) -> Tensor:
        """embedding [N, text_dim], features as in `predict`, arm [N, T, 6], gripper [N, T] -> each step's
        tokens [N, T, tokens, width].
        """

    @abstractmethod
    def decide(self, tokens: Tensor, valid: Tensor | None) -> Prediction:
        """Tokens of windows [N, T, tokens, width] -> the action at each of their steps; valid bool[N, T] or
        None.
        """

    @abstractmethod
    def context(self, tokens: Tensor) -> Tensor:
        """Tokens of windows [N, T, tokens, width] -> [N, T * tokens, width]."""

    @abstractmethod
    def act(self, context: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, list]:
        """As GR1.act: the newest step's arm [N, 1, 6] and gripper logit [N, 1]; no memory for frames."""


def state(arm: Tensor, gripper: Tensor) -> Tensor:
    """arm [..., 6], gripper [...] -> [..., 7]."""
    return torch.cat([arm, gripper.unsqueeze(-1)], -1)
