"""The losses: smooth-L1 of the arm's action, binary cross-entropy of the gripper, squared error of the
predicted frames' patches.

Policies with binned actions have the bins' cross-entropy instead; frames may have the absolute error.

Each loss is summed over the supervised steps and divided by their count in the whole global batch, which is
known beforehand. So the gradients of all processes and micro-batches add up to those of the whole batch,
however it is cut. With dropout (or words that are left out at random) every cut draws its own random numbers:
the same in distribution, not in value.
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

NAMES = ("arm", "gripper", "static", "wrist", "videos")


@dataclass
class Inputs:
    """B windows of W steps on the device. valid and future are None when all are true.

    embedding f32[B, text_dim]: of a frozen text encoder; or tokens i64[B, 77] for a trained one.
    state f32[B, W, 7], action f32[B, W, 7]; valid, future bool[B, W]: see data.windows.Batch.
    features: each camera's ([CLS] [B, W, feature], patch tokens [B, W, patches, feature]) of a frozen
    encoder; or images: each camera's preprocessed images [B, W, 3, S, S] for a trained one.
    future_images: those n steps later [P, W, 3, S, S], of the first P windows only; future is then bool[P,
    W]. later_action f32[B, chunk - 1, 7], later_valid bool[B, chunk - 1]: after the window; None for chunk 1.
    weight f32[B, W]: of each step in all losses; None where all are 1.
    """

    embedding: Tensor | None
    state: Tensor | None
    action: Tensor | None
    valid: Tensor | None
    future: Tensor | None
    tokens: Tensor | None = None
    features: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    images: dict[str, Tensor] = field(default_factory=dict)
    future_images: dict[str, Tensor] = field(default_factory=dict)
    later_action: Tensor | None = None
    later_valid: Tensor | None = None
    weight: Tensor | None = None

    @property
    def count(self) -> int:
        """B."""
        return len(self.embedding if self.tokens is None else self.tokens)

    def select(self, windows: slice) -> Inputs:
        """Some of the windows."""

        def cut(value):
            if value is None:
                return None
            if isinstance(value, dict):
                return {role: cut(each) for role, each in value.items()}
            if isinstance(value, tuple):
                return tuple(cut(each) for each in value)
            return value[windows]

        return Inputs(**{item.name: cut(getattr(self, item.name)) for item in fields(self)})


def sum_losses(
    prediction: Prediction, inputs: Inputs, targets: Mapping[str, Tensor], absolute: bool = False
) -> dict[str, Tensor]:
    """Losses summed over the supervised steps, as scalars.

    targets: each camera's patches, or their changes, [B, W, patches, patch_dim]. absolute: the frames'
    absolute error, not the squared one.
    """
    result = {}
    if prediction.arm is not None:
        arm = _arm_loss(prediction, inputs.action[..., :6])
        gripper = _gripper_loss(prediction.gripper_logit, inputs.action[..., 6])
        if prediction.later_arm is not None:
            arm, gripper = _with_chunk(arm, gripper, prediction, inputs)
        each = {"arm": arm, "gripper": gripper}
        result |= {name: _masked_sum(error, inputs.valid, inputs.weight) for name, error in each.items()}
    for role, target in targets.items():
        error = getattr(prediction, role).float() - target
        error = error.abs() if absolute else error.square()
        result[role] = _masked_sum(error.mean((-1, -2)), inputs.future, inputs.weight)
    return result


def total_loss(
    summed: Mapping[str, Tensor], weights: LossWeights, counts: tuple[float, float, float]
) -> Tensor:
    """The scalar to minimise.

    counts: valid steps, supervised future frames and those of the joint videos, of the whole global batch;
    each counted with its weight.
    """
    steps, frames, videos = (max(1, count) for count in counts)
    divisor = {"arm": steps, "gripper": steps, "static": frames, "wrist": frames, "videos": videos}
    return sum(getattr(weights, name) / divisor[name] * value for name, value in summed.items())


class Objective(nn.Module):
    """The model with its losses: the module that data-parallel training wraps.

    absolute: the frames' absolute error, not the squared one.
    """

    def __init__(self, model: GR1, targets: tuple[str, ...], bf16: bool, absolute: bool = False):
        super().__init__()
        self.model, self.targets, self.bf16, self.absolute = model, targets, bf16, absolute

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """-> summed losses of `targets`. Windows without future frames count only for the action.

        Windows without states are the joint videos of a policy's training: their loss is named "videos".
        """
        if inputs.state is None and "action" in self.targets:
            return {"videos": self._sum_losses(inputs, ("static",))["static"]}
        with_video = min((len(images) for images in inputs.future_images.values()), default=0)
        parts = []
        if with_video:
            parts.append(self._sum_losses(inputs.select(slice(with_video)), self.targets))
        if with_video < inputs.count:
            parts.append(self._sum_losses(inputs.select(slice(with_video, None)), ("action",)))
        return {name: sum(part[name] for part in parts if name in part) for name in parts[0]}

    def _sum_losses(self, inputs: Inputs, targets: tuple[str, ...]) -> dict[str, Tensor]:
        prediction = self.predict(inputs, targets)
        with torch.no_grad():
            frames = self.frame_targets(inputs, targets)
        return self.sum_losses(prediction, inputs, frames)

    def sum_losses(
        self, prediction: Prediction, inputs: Inputs, targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """As the function, with this objective's error of frames."""
        return sum_losses(prediction, inputs, targets, self.absolute)

    def copy_losses(
        self, present: Mapping[str, Tensor], inputs: Inputs, targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Summed losses of a prediction that nothing changes.

        present: each camera's current frames, preprocessed [B, W, 3, S, S].
        """
        copies = {role: self.model.frame_targets(images, images) for role, images in present.items()}
        return self.sum_losses(Prediction(**copies), inputs, targets)

    def frame_targets(self, inputs: Inputs, targets: tuple[str, ...]) -> dict[str, Tensor]:
        """The decoder's targets for those cameras that are among the targets, [B, W, patches, patch_dim]."""
        later = {role: images for role, images in inputs.future_images.items() if role in targets}
        return {
            role: self.model.frame_targets(images, inputs.images.get(role)) for role, images in later.items()
        }

    def predict(self, inputs: Inputs, targets: tuple[str, ...] | None = None) -> Prediction:
        """The model's prediction in fp32. targets: default all of the recipe."""
        text = inputs.embedding if inputs.tokens is None else inputs.tokens
        with torch.autocast(text.device.type, torch.bfloat16, enabled=self.bf16):
            embedding = text if inputs.tokens is None else self.model.text(text)
            features = inputs.features | {
                role: self.model.encode_images(images, embedding) for role, images in inputs.images.items()
            }
            state = inputs.state
            arm, gripper = (None, None) if state is None else (state[..., :6], state[..., 6])
            targets = targets or self.targets
            # A baseline predicts no frames.
            present = {"present": inputs.images} if {"static", "wrist"} & set(targets) else {}
            # Missing steps come last in a window and are left out of the losses, and attention is causal:
            # without their mask the losses and gradients are the same, and attention needs no mask in memory.
            prediction = self.model.predict(
                embedding, features, arm, gripper, valid=None, targets=targets, **present
            )
        return Prediction(
            **{item.name: _to_float(getattr(prediction, item.name)) for item in fields(prediction)}
        )


def _arm_loss(prediction: Prediction, arm: Tensor) -> Tensor:
    if prediction.arm_bins is not None:
        return bins.cross_entropy(prediction.arm_bins.float(), arm)
    return F.smooth_l1_loss(prediction.arm.float(), arm, reduction="none").mean(-1)


def _gripper_loss(logits: Tensor, gripper: Tensor) -> Tensor:
    """gripper: above 0 where open."""
    return F.binary_cross_entropy_with_logits(logits.float(), (gripper > 0).float(), reduction="none")


def _with_chunk(
    arm: Tensor, gripper: Tensor, prediction: Prediction, inputs: Inputs
) -> tuple[Tensor, Tensor]:
    """Each step's losses [B, W], the mean over those actions of its chunk that lie inside the episode."""
    steps, later = inputs.action.shape[1], prediction.later_arm.shape[2]
    valid = inputs.valid
    if valid is None:
        valid = inputs.later_valid.new_ones(len(inputs.later_valid), steps)
    # Rows of the following steps' actions and masks: [B, W, later, ...].
    actions = torch.cat([inputs.action, inputs.later_action], 1).unfold(1, later, 1)[:, 1:].transpose(2, 3)
    inside = torch.cat([valid, inputs.later_valid], 1).unfold(1, later, 1)[:, 1:]
    later_arm = F.smooth_l1_loss(prediction.later_arm.float(), actions[..., :6], reduction="none").mean(-1)
    later_gripper = _gripper_loss(prediction.later_gripper_logit, actions[..., 6])
    count = 1 + inside.sum(-1)
    arm = (arm + later_arm.where(inside, 0).sum(-1)) / count
    return arm, (gripper + later_gripper.where(inside, 0).sum(-1)) / count


def _masked_sum(errors: Tensor, mask: Tensor | None, weight: Tensor | None = None) -> Tensor:
    # Not a product: values past an episode's end must not matter even if they are infinite.
    errors = errors if mask is None else errors.where(mask, 0)
    return errors.sum() if weight is None else (errors * weight).sum()


def _to_float(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.float()
