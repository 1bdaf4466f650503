"""GR-1: instruction, images and arm state in; arm delta, gripper and future frames out.

One control step is a row of tokens, in this order:

    context:  language | state | static latents, static [CLS] | wrist latents, wrist [CLS]
    queries:  [ACT] | [OBS] x (latents + 1) | [OBS_HAND] x (latents + 1)

Context tokens carry the time embedding of their position in the window; queries carry none. Pre-training on
videos leaves out the state, the wrist camera and [ACT].
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gr1_core.model import patches
from gr1_core.model.config import GR1Config
from gr1_core.model.decoder import ImageDecoder
from gr1_core.model.encoders import Encoders
from gr1_core.model.resampler import GridResampler, PerceiverResampler
from gr1_core.model.transformer import KeysValues, Transformer, initialise, window_masks
from gr1_core.rig import ROLES

TARGETS = ("action", "static", "wrist")


@dataclass
class Prediction:
    """The requested targets at each of the window's T steps; None: not requested. Actions are raw, in the
    rig's units.
    """

    arm: Tensor | None = None  # [N, T, 6]
    gripper_logit: Tensor | None = None  # [N, T]; open where above 0
    # Of the following steps, [N, T, chunk - 1, 6] and [N, T, chunk - 1]; None with chunk 1.
    later_arm: Tensor | None = None
    later_gripper_logit: Tensor | None = None
    arm_bins: Tensor | None = (
        None  # [N, T, 6, bins]: logits of a policy with binned actions (baselines/bins.py)
    )
    static: Tensor | None = None  # [N, T, patches, patch_dim], as `frame_targets`
    wrist: Tensor | None = None


class ActionHead(nn.Module):
    """Two hidden layers without a non-linearity between them, as the published weights were trained.

    chunk: number of actions, this step's first.
    """

    def __init__(self, width: int, chunk: int = 1):
        super().__init__()
        self._chunk = chunk
        self.hidden_1 = nn.Linear(width, width // 2)
        self.hidden_2 = nn.Linear(width // 2, width // 2)
        self.arm = nn.Linear(width // 2, 6 * chunk)
        self.gripper = nn.Linear(width // 2, chunk)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """[..., width] -> arm [..., chunk, 6], gripper logits [..., chunk]."""
        hidden = self.hidden_2(self.hidden_1(rows))
        return self.arm(hidden).unflatten(-1, (self._chunk, 6)), self.gripper(hidden)


class GR1(Encoders):
    """See the module. CLIP's text tower and the image encoder are frozen and stay in eval mode; words are
    trained.
    """

    def __init__(self, config: GR1Config):
        super().__init__(config)
        width, feature = config.width, config.vision_width
        self.resampler = (PerceiverResampler if config.resampler == "perceiver" else GridResampler)(config)

        self.embed_arm = nn.Linear(6, width)
        self.embed_gripper = nn.Linear(2, width)
        self.embed_state = nn.Linear(2 * width, width)
        self.embed_language = nn.Linear(config.text_dim, width)
        self.embed_patches = nn.ModuleDict(
            {"static": nn.Linear(feature, width), "wrist": nn.Linear(feature, width)}
        )
        self.embed_cls = nn.ModuleDict(
            {"static": nn.Linear(feature, width), "wrist": nn.Linear(feature, width)}
        )
        self.embed_time = nn.Parameter(torch.empty(config.window, width))
        self.embed_norm = nn.LayerNorm(width)
        self.query = nn.ParameterDict(
            {
                "action": torch.empty(1, width),
                "static": torch.empty(config.latents + 1, width),
                "wrist": torch.empty(config.latents + 1, width),
            }
        )
        self.transformer = Transformer(config)
        self.action_head = ActionHead(width, config.chunk)
        self.decoder = ImageDecoder(config)
        self._initialise()

    def _initialise(self) -> None:
        parts = [self.transformer]
        # The grid's wide input layer keeps PyTorch's own initial weights, which preserve its scale.
        parts += [self.resampler] if self.config.resampler == "perceiver" else []
        for part in parts:
            initialise(part)
        self.decoder.initialise()
        for parameter in (self.embed_time, *self.query.values()):
            nn.init.normal_(parameter, std=0.02)

    # Tokens

    def language_token(self, embedding: Tensor) -> Tensor:
        """The text encoder's embedding [..., text_dim] -> [..., width]."""
        return self.embed_language(self.text_features(embedding))

    def camera_tokens(self, role: str, cls: Tensor, latents: Tensor) -> Tensor:
        """[..., feature], [..., latents, feature] -> the camera's tokens [..., latents + 1, width]."""
        return torch.cat([self.embed_patches[role](latents), self.embed_cls[role](cls).unsqueeze(-2)], -2)

    def state_token(self, arm: Tensor, gripper: Tensor) -> Tensor:
        """arm [..., 6] xyz + Euler xyz, gripper [...] +1 open or -1 closed -> [..., width]."""
        is_open = (gripper > 0).to(arm.dtype)
        one_hot = torch.stack([1 - is_open, is_open], -1)
        return self.embed_state(torch.cat([self.embed_arm(arm), self.embed_gripper(one_hot)], -1))

    # One control step at a time

    def step_tokens(self, embedding: Tensor, images: Tensor, arm: Tensor, gripper: Tensor) -> Tensor:
        """The context tokens that one step adds to the window, without their time embedding: [..., tokens,
        width].

        embedding [..., 1, text_dim]: of `encode_text`. images [..., cameras, 3, S, S]: static and, if there
        is
        one, wrist, preprocessed. arm [..., 6]. gripper [...].
        """
        cls, patch_tokens = self.encode_images(
            images.reshape(-1, *images.shape[-4:]), embedding.flatten(0, -2)
        )
        latents = self.resampler(patch_tokens.flatten(0, 1)).unflatten(0, cls.shape[:2])
        cls, latents = (part.reshape(*images.shape[:-3], *part.shape[2:]) for part in (cls, latents))
        cameras = [
            self.camera_tokens(role, cls[..., i, :], latents[..., i, :, :])
            for i, role in enumerate(ROLES[: images.shape[-4]])
        ]
        tokens = [self.language_token(embedding), self.state_token(arm, gripper).unsqueeze(-2), *cameras]
        return torch.cat([part.to(embedding.dtype) for part in tokens], -2)

    def act(self, context: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, list[KeysValues]]:
        """The newest step's arm [N, chunk, 6] and gripper logits [N, chunk], and the keys and values that
        `predict_frames` reads.

        context: as `context` returns it. mask bool[N, 1, 1, tokens]: false at the missing tokens of windows
        that are not full.
        """
        rows, memory = self.transformer(
            context, self.queries(("action",)).expand(len(context), -1, -1), None, mask
        )
        return *self.action_head(rows[:, 0]), memory

    def predict_frames(self, memory: list[KeysValues], images: Tensor, mask: Tensor | None = None) -> Tensor:
        """The decoder's output for the future frames of static and wrist, [N, cameras, patches, patch_dim].

        memory, mask: of `act`. images [N, cameras, 3, S, S]: the current frames, preprocessed.
        """
        roles = ROLES[: images.shape[1]]
        queries = self.queries(roles).expand(len(memory[0][0]), -1, -1)
        rows = self.transformer.read(queries, memory, mask).unflatten(1, (len(roles), -1))
        return self._decode(rows, images)

    # A whole window

    def context(self, tokens: Tensor) -> Tensor:
        """Tokens of the window's first T steps [N, T, tokens per step, width] -> the transformer's context
        [N, T * tokens, width].
        """
        return self.embed_norm(tokens + self.embed_time[: tokens.shape[1], None]).flatten(1, 2)

    def queries(self, targets: Collection[str]) -> Tensor:
        """The query tokens of one step [queries, width], in the order of TARGETS; the same at every step."""
        return self.embed_norm(torch.cat([self.query[target] for target in TARGETS if target in targets]))

    def forward(
        self,
        language: Tensor,
        static: Tensor,
        wrist: Tensor | None = None,
        arm: Tensor | None = None,
        gripper: Tensor | None = None,
        valid: Tensor | None = None,
        targets: Collection[str] = TARGETS,
    ) -> Prediction:
        """A whole window at once.

        language i64[N, 77]. static, wrist [N, T, 3, S, S]: preprocessed. arm [N, T, 6]. gripper [N, T]: +1 or
        -1. valid bool[N, T]: false at missing steps; the first step must be valid. None: all valid, or
        missing steps come last and their outputs are ignored, which gives the same outputs at valid steps
        (attention is causal). Pre-training on videos: only language and static, targets {"static"}.
        """
        embedding = self.text(language)
        present = {
            role: images for role, images in (("static", static), ("wrist", wrist)) if images is not None
        }
        features = {role: self.encode_images(images, embedding) for role, images in present.items()}
        return self.predict(embedding, features, arm, gripper, valid, targets, present)

    def predict(
        self,
        embedding: Tensor,
        features: Mapping[str, tuple[Tensor, Tensor]],
        arm: Tensor | None = None,
        gripper: Tensor | None = None,
        valid: Tensor | None = None,
        targets: Collection[str] = TARGETS,
        present: Mapping[str, Tensor] | None = None,
    ) -> Prediction:
        """`forward` from the encoders' outputs; see there for the other arguments.

        embedding [N, text_dim]: the text encoder's. features: each camera's [CLS] [N, T, feature] and patch
        tokens [N, T, patches, feature]. present: each camera's preprocessed images [N, T, 3, S, S]; only a
        decoder of changes reads them.
        """
        steps = features["static"][0].shape[1]
        if steps > self.config.window:
            raise ValueError(f"{steps} steps do not fit the window of {self.config.window}")
        unknown = set(targets) - set(TARGETS)
        if unknown or not targets:
            raise ValueError(f"targets {sorted(targets)}: expected some of {', '.join(TARGETS)}")
        tokens = [self.language_token(embedding)[:, None, None].expand(-1, steps, -1, -1)]
        if arm is not None:
            tokens.append(self.state_token(arm, gripper).unsqueeze(2))
        for role in ("static", "wrist"):
            if role in features:
                cls, patch_tokens = features[role]
                latents = self.resampler(patch_tokens.flatten(0, 1)).unflatten(0, (-1, steps))
                tokens.append(self.camera_tokens(role, cls, latents))
        tokens = torch.cat(tokens, 2)
        queries = self.queries(targets)
        masks = window_masks(steps, tokens.shape[2], len(queries), valid, tokens.device)
        rows, _ = self.transformer(self.context(tokens), queries.repeat(len(tokens), steps, 1), *masks)
        return self._read_out(rows.unflatten(1, (steps, -1)), targets, present or {})

    def _read_out(self, rows: Tensor, targets: Collection[str], present: Mapping[str, Tensor]) -> Prediction:
        """Outputs of the queries [N, T, queries, width] -> their predictions."""
        sizes = [len(self.query[target]) for target in TARGETS if target in targets]
        parts = dict(zip((target for target in TARGETS if target in targets), rows.split(sizes, 2)))
        prediction = Prediction()
        if "action" in parts:
            arm, gripper = self.action_head(parts["action"].squeeze(2))
            prediction.arm, prediction.gripper_logit = arm[..., 0, :], gripper[..., 0]
            if self.config.chunk > 1:
                prediction.later_arm, prediction.later_gripper_logit = arm[..., 1:, :], gripper[..., 1:]
        for role in ("static", "wrist"):
            if role in parts:
                setattr(prediction, role, self._decode(parts[role], present.get(role)))
        return prediction

    def _decode(self, rows: Tensor, images: Tensor | None) -> Tensor:
        """Queries' outputs [A, B, latents + 1, width] and the current frames [A, B, 3, S, S] -> [A, B,
        patches, patch_dim].
        """
        present = None
        if self.config.frames == "change":
            present = patches.patchify(images.flatten(0, 1), self.config.patch_size)
        return self.decoder(rows.flatten(0, 1), present).unflatten(0, rows.shape[:2])

    # Training targets and pixels

    def frame_targets(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Future frames [N, T, 3, S, S], preprocessed -> the decoder's targets [N, T, patches, patch_dim].

        present: the current frames, same shape; only needed for frames "change".
        """
        size, later = self.config.patch_size, images.flatten(0, 1)
        if self.config.frames == "change":
            return patches.change(later, present.flatten(0, 1), size).unflatten(0, images.shape[:2])
        return patches.targets(later, size).unflatten(0, images.shape[:2])

    def compose_frames(self, predicted: Tensor, present: Tensor) -> Tensor:
        """The decoder's output [N, patches, patch_dim] and the current frames [N, 3, S, S] -> the future
        frames [N, 3, S, S].

        All images are preprocessed. Normalised patches take their mean and scale from the current frame.
        """
        size = self.config.patch_size
        if self.config.frames == "change":
            return patches.changed(present, predicted, size)
        mean, scale = patches.patch_statistics(patches.patchify(present, size))
        return patches.unpatchify(predicted * scale + mean, size)

    def parameter_counts(self) -> tuple[int, int]:
        """(all, trainable), counted as the paper does: without CLIP's vision tower."""
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in self.parameters()]
        return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)
