"""The losses: smooth-L1 of the arm's action, binary cross-entropy of the gripper, squared error of the predicted frames' patches. Of a
policy that chooses its arm's action from bins, their cross-entropy. Of frames that are predicted as changes, the absolute error.

Each is summed over what is supervised and divided by the count of the whole global batch, which is known beforehand. So it makes no
difference into how many processes and micro-batches the batch is cut: gradients add up to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gr1_core.baselines import bins
from gr1_core.model.gr1 import GR1, Prediction
from gr1_core.train.recipe import LossWeights

NAMES = ("arm", "gripper", "static", "wrist")


@dataclass
class Inputs:
    """B windows of W steps on the device. valid and future are None when all are true.

    embedding f32[B, text_dim] of a frozen text encoder, or tokens i64[B, 77] for one that is trained.
    state f32[B, W, 7], action f32[B, W, 7]; valid, future bool[B, W].
    features: each camera's ([CLS] [B, W, feature], patch tokens [B, W, patches, feature]), from the frozen encoder; or
    seen: each camera's preprocessed images [B, W, 3, S, S], if the encoder is trained.
    future_images: those n steps later [P, W, 3, S, S], of the first P windows; future bool[P, W].
    """

    embedding: Tensor | None
    state: Tensor | None
    action: Tensor | None
    valid: Tensor | None
    future: Tensor | None
    tokens: Tensor | None = None
    features: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    seen: dict[str, Tensor] = field(default_factory=dict)
    future_images: dict[str, Tensor] = field(default_factory=dict)

    @property
    def windows(self) -> int:
        return len(self.embedding if self.tokens is None else self.tokens)

    def part(self, windows: slice) -> Inputs:
        """Some of the windows."""

        def cut(value):
            if isinstance(value, dict):
                return {role: cut(each) for role, each in value.items()}
            return (
                tuple(cut(each) for each in value)
                if isinstance(value, tuple)
                else None
                if value is None
                else value[windows]
            )

        return Inputs(**{item.name: cut(getattr(self, item.name)) for item in fields(self)})


def sums(
    prediction: Prediction, inputs: Inputs, targets: Mapping[str, Tensor], changes: bool = False
) -> dict[str, Tensor]:
    """Losses summed over the supervised steps, as scalars. targets: each camera's patches [B, W, patches, patch_dim], or their changes."""
    result = {}
    if prediction.arm is not None:
        arm = _of_arm(prediction, inputs.action[..., :6])
        is_open = (inputs.action[..., 6] > 0).float()
        gripper = F.binary_cross_entropy_with_logits(
            prediction.gripper_logit.float(), is_open, reduction="none"
        )
        result |= {"arm": _sum(arm, inputs.valid), "gripper": _sum(gripper, inputs.valid)}
    for role, target in targets.items():
        error = getattr(prediction, role).float() - target
        # Where a change is not certain its mean is a blur, and its median most often nothing.
        error = error.abs() if changes else error.square()
        result[role] = _sum(error.mean((-1, -2)), inputs.future)
    return result


def total(summed: Mapping[str, Tensor], weights: LossWeights, counts: tuple[int, int]) -> Tensor:
    """The loss that is minimised. counts: valid steps and supervised future frames of the whole global batch."""
    steps, frames = (max(1, count) for count in counts)
    divisor = {"arm": steps, "gripper": steps, "static": frames, "wrist": frames}
    return sum(getattr(weights, name) / divisor[name] * value for name, value in summed.items())


class Objective(nn.Module):
    """The model with its losses: what data-parallel training wraps."""

    def __init__(self, model: GR1, targets: tuple[str, ...], bf16: bool):
        super().__init__()
        self.model, self.targets, self.bf16 = model, targets, bf16

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """-> sums of the losses of `targets`; a window without future frames only has those of the action."""
        pictured = min((len(images) for images in inputs.future_images.values()), default=0)
        parts = []
        if pictured:
            parts.append(self._sums(inputs.part(slice(pictured)), self.targets))
        if pictured < inputs.windows:
            parts.append(self._sums(inputs.part(slice(pictured, None)), ("action",)))
        return {name: sum(part[name] for part in parts if name in part) for name in parts[0]}

    def _sums(self, inputs: Inputs, targets: tuple[str, ...]) -> dict[str, Tensor]:
        prediction = self.predict(inputs, targets)
        with torch.no_grad():
            frames = self.frame_targets(inputs, targets)
        return self.sums(prediction, inputs, frames)

    def sums(
        self, prediction: Prediction, inputs: Inputs, targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """As the function, of what this model predicts."""
        return sums(prediction, inputs, targets, self.model.config.frames == "change")

    def frame_targets(self, inputs: Inputs, targets: tuple[str, ...]) -> dict[str, Tensor]:
        """The patches that are to be predicted of those cameras that are among the targets, [B, W, patches, patch_dim]."""
        later = {role: images for role, images in inputs.future_images.items() if role in targets}
        return {
            role: self.model.frame_targets(images, inputs.seen.get(role)) for role, images in later.items()
        }

    def predict(self, inputs: Inputs, targets: tuple[str, ...] | None = None) -> Prediction:
        text = inputs.embedding if inputs.tokens is None else inputs.tokens
        with torch.autocast(text.device.type, torch.bfloat16, enabled=self.bf16):
            embedding = text if inputs.tokens is None else self.model.text(text)
            features = inputs.features | {
                role: self.model.encode_images(images, embedding) for role, images in inputs.seen.items()
            }
            state = inputs.state
            arm, gripper = (None, None) if state is None else (state[..., :6], state[..., 6])
            targets = targets or self.targets
            # A baseline predicts no frames.
            present = {"present": inputs.seen} if {"static", "wrist"} & set(targets) else {}
            prediction = self.model.predict(
                embedding, features, arm, gripper, inputs.valid, targets, **present
            )
        return Prediction(
            **{item.name: _float(getattr(prediction, item.name)) for item in fields(prediction)}
        )


def _of_arm(prediction: Prediction, arm: Tensor) -> Tensor:
    if prediction.arm_bins is not None:
        return bins.cross_entropy(prediction.arm_bins.float(), arm)
    return F.smooth_l1_loss(prediction.arm.float(), arm, reduction="none").mean(-1)


def _sum(errors: Tensor, mask: Tensor | None) -> Tensor:
    # Not a product: what lies past an episode's end must not matter even if it is infinite.
    return errors.sum() if mask is None else errors.where(mask, 0).sum()


def _float(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.float()
