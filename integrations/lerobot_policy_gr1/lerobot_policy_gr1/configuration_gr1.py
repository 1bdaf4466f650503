"""The policy's configuration: the model's sizes as in a checkpoint's config.json, and what LeRobot adds."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.optim.optimizers import AdamWConfig
from lerobot.optim.schedulers import CosineDecayWithWarmupSchedulerConfig

from gr1_core.model.config import GR1Config as ModelConfig
from gr1_core.rig import ROLES, Rig

CAMERAS = {role: f"observation.images.{role}" for role in ROLES}
STATE, ACTION = "observation.state", "action"
NUMBERS = 7
"""Of a state (xyz, Euler angles, gripper) and of an action (six deltas, gripper)."""

_KINDS = typing.get_type_hints(ModelConfig)
_SMALL = ModelConfig.small()
# A base class with the model's fields and the sizes that train from scratch as defaults.
_ModelFields = dataclasses.make_dataclass(
    "_ModelFields",
    [
        (item.name, _KINDS[item.name], field(default=getattr(_SMALL, item.name)))
        for item in dataclasses.fields(ModelConfig)
    ],
    namespace={"__module__": __name__},
)


@PreTrainedConfig.register_subclass("gr1")
@dataclass
class GR1Config(_ModelFields, PreTrainedConfig):
    """A GR-1 in LeRobot. The fields of `gr1_core.GR1Config` have its names and the small model's values.

    rig: a built-in rig's name or a YAML file; empty: the checkpoint's, else the dataset's (meta/rig.yaml).
    train_vision: whether the image encoder is trained; None: convolutions are, a ViT is not.
    loss_*: weights of the arm's and the gripper's loss and of both cameras' predicted frames.
    """

    rig: str = ""
    train_vision: bool | None = None
    loss_arm: float = 100.0
    loss_gripper: float = 1.0
    loss_static: float = 0.4
    loss_wrist: float = 0.2
    optimizer_lr: float = 1e-3
    optimizer_weight_decay: float = 0.01
    optimizer_grad_clip_norm: float = 1.0
    scheduler_warmup_steps: int = 500
    scheduler_decay_steps: int = 30_000
    # The model's numbers are the rig's units; nothing is normalised.
    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: dict.fromkeys(("VISUAL", "STATE", "ACTION"), NormalizationMode.IDENTITY)
    )

    def __post_init__(self):
        super().__post_init__()
        self.model_config()
        if set(self.normalization_mapping.values()) != {NormalizationMode.IDENTITY}:
            raise ValueError(
                "normalization_mapping must be IDENTITY for all features: GR-1 reads pixels, poses and "
                "actions in the rig's units"
            )

    def model_config(self) -> ModelConfig:
        """The model's part. Raises ConfigError."""
        return ModelConfig(**{name: getattr(self, name) for name in _KINDS})

    @property
    def trains_vision(self) -> bool:
        return self.vision != "vit" if self.train_vision is None else self.train_vision

    @property
    def observation_delta_indices(self) -> list[int]:
        ahead = self.future_steps if self.policy == "gr1" else 0
        return list(range(self.window + ahead))

    @property
    def action_delta_indices(self) -> list[int]:
        return list(range(self.window + self.chunk - 1))

    @property
    def reward_delta_indices(self) -> None:
        return None

    def get_optimizer_preset(self) -> AdamWConfig:
        return AdamWConfig(
            lr=self.optimizer_lr,
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> CosineDecayWithWarmupSchedulerConfig:
        return CosineDecayWithWarmupSchedulerConfig(
            num_warmup_steps=self.scheduler_warmup_steps,
            num_decay_steps=self.scheduler_decay_steps,
            peak_lr=self.optimizer_lr,
            decay_lr=0.0,
        )

    def take_features(self, rig: Rig) -> None:
        """Fills in the features where a checkpoint of gr1_core has left them to its rig."""
        if not self.input_features:
            self.input_features = {
                CAMERAS[role]: PolicyFeature(FeatureType.VISUAL, (3, camera.height, camera.width))
                for role, camera in rig.cameras.items()
            } | {STATE: PolicyFeature(FeatureType.STATE, (NUMBERS,))}
        if not self.output_features:
            self.output_features = {ACTION: PolicyFeature(FeatureType.ACTION, (NUMBERS,))}

    def validate_features(self) -> None:
        """Raises ValueError unless there are both cameras, the state and the action."""
        inputs, outputs = self.input_features or {}, self.output_features or {}
        wanted = [(key, inputs, FeatureType.VISUAL, None) for key in CAMERAS.values()]
        wanted += [
            (STATE, inputs, FeatureType.STATE, NUMBERS),
            (ACTION, outputs, FeatureType.ACTION, NUMBERS),
        ]
        for key, features, kind, numbers in wanted:
            found = features.get(key)
            if found is None or found.type is not kind:
                raise ValueError(
                    f"GR-1 needs the feature '{key}'; there are {', '.join(features) or 'none'}: convert the "
                    "dataset with `gr1 convert lerobot --mapping FILE`, or rename features by --rename_map"
                )
            if numbers and tuple(found.shape) != (numbers,):
                raise ValueError(
                    f"'{key}' has shape {tuple(found.shape)}, GR-1 needs ({numbers},): convert the "
                    "dataset with `gr1 convert lerobot --mapping FILE`"
                )
