"""Recipes: one YAML file per training run; every number of the run is set there and nowhere else.

A recipe may extend another (`extends: NAME`) and then holds only the differences. `key=value` on the command
line goes on top, with dotted names for nested keys (`optimizer.lr=3e-4`). Unknown, missing and renamed keys
and wrong types are refused (strict_yaml).
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from gr1_core import strict_yaml
from gr1_core.model.config import ConfigError, GR1Config
from gr1_core.renamed import RECIPE_KEYS
from gr1_core.strict_yaml import Positive, PositiveInt
from gr1_core.suggestions import did_you_mean, neighbours

_BUILT_IN = Path(__file__).parent / "recipes"


class RecipeError(ValueError):
    """A recipe that cannot be followed."""


@dataclass(frozen=True)
class Optimizer:
    """AdamW with a linear warm-up and a cosine decay to zero.

    clip_norm: of the gradient. ema: decay of the averaged weights, 0: no averaging.
    """

    lr: Positive
    weight_decay: float
    betas: tuple[float, float]
    clip_norm: Positive
    ema: float


@dataclass(frozen=True)
class LossWeights:
    """Weights of the arm's smooth-L1, the gripper's BCE and the predicted frames' errors; 0: not computed.

    videos: of the frames of `videos`, the clips beside the demonstrations.
    """

    arm: float
    gripper: float
    static: float
    wrist: float
    videos: float = 0.0


@dataclass(frozen=True)
class Shift:
    """Largest random shift of each camera's image in pixels of its view, the same for all frames of a window;
    0: off.
    """

    static: int
    wrist: int


@dataclass(frozen=True)
class Evaluation:
    """Every `every` steps and at the end: on at most `windows` held-out windows, `images` of them drawn."""

    every: PositiveInt
    windows: PositiveInt
    images: int


@dataclass(frozen=True)
class Corrections:
    """How take-overs are learned from (train/corrections.py).

    weight: of frames that an operator drove. before_s: seconds before a take-over that are left out.
    policy_weight: of the policy's own frames in episodes that succeeded.
    """

    weight: Positive = 2.0
    before_s: float = 1.5
    policy_weight: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """A training run. The keys are described in recipes/_base.yaml."""

    name: str
    stage: Literal["pretrain", "finetune"]
    out: str
    seed: int
    # Data.
    data: str
    validation: str | None
    held_out: float
    share: float | None
    videos: str | None
    videos_batch: PositiveInt
    videos_hz: Positive | None
    hz: Positive | None
    cameras: Literal["both", "static"]
    starts: Literal["every", "first"]
    shift: Shift
    colour: float
    hue: float
    # The model and its initial weights.
    model: Mapping[str, typing.Any]
    init: str | None
    mae: str | None
    clip: str | None
    encoders: Literal["official", "random"]
    train_vision: bool
    # Optimisation.
    batch: PositiveInt
    epochs: Positive
    warmup_epochs: float
    steps: PositiveInt | None
    optimizer: Optimizer
    loss: LossWeights
    frame_error: Literal["auto", "squared", "absolute"]
    video_share: float
    precision: Literal["auto", "bf16", "fp32"]
    # Speed, memory and reports; may change when a run is resumed (RESUMABLE).
    evaluation: Evaluation
    save_every: PositiveInt
    micro_batch: PositiveInt | Literal["auto"] | None
    device: Literal["auto", "cpu"]
    threads: PositiveInt | None
    loader_threads: PositiveInt | None
    cache: Literal["auto", "on", "off"]
    cache_gb: float
    decode_once: bool
    compile: bool
    wandb: Literal["off", "online", "offline"]
    corrections: Corrections | None = None

    @property
    def config(self) -> GR1Config:
        """The model's sizes: those of `model.size`, changed by the other keys of `model`."""
        sizes = dict(self.model)
        base = getattr(GR1Config, sizes.pop("size"))()
        return dataclasses.replace(base, **sizes)

    @property
    def targets(self) -> tuple[str, ...]:
        """What the model predicts, in the order of `gr1.TARGETS`."""
        weights = {
            "action": self.loss.arm or self.loss.gripper,
            "static": self.loss.static,
            "wrist": self.loss.wrist and self.cameras == "both",
        }
        return tuple(name for name, weight in weights.items() if weight)

    @property
    def absolute_frame_error(self) -> bool:
        """Whether predicted frames are compared by the absolute error, not by the squared one."""
        return self.frame_error == "absolute" or (
            self.frame_error == "auto" and self.config.frames == "change"
        )

    @property
    def roles(self) -> tuple[str, ...]:
        """The cameras that are used: pre-training on videos has only the static one."""
        one = self.stage == "pretrain" or self.cameras == "static"
        return ("static",) if one else ("static", "wrist")

    @property
    def video_windows(self) -> int:
        """How many windows of a batch, the first ones, are supervised by future frames."""
        return max(1, round(self.video_share * self.batch))

    def to_dict(self) -> dict:
        """Plain values, as in recipe.yaml."""
        return strict_yaml.to_plain(self)

    def schedule(self, per_epoch: int) -> tuple[int, int]:
        """Steps per epoch -> (all steps, warm-up steps). With `steps` set, the warm-up keeps its share."""
        steps = self.steps or max(1, round(self.epochs * per_epoch))
        return steps, round(steps * self.warmup_epochs / self.epochs)

    def learning_rate(self, step: int, steps: int, warmup: int) -> float:
        """The learning rate of update `step`, counted from 0."""
        if step < warmup:
            return self.optimizer.lr * (step + 1) / warmup
        return self.optimizer.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


# Nested key without its parent -> the whole key, for messages.
_NESTED = {
    field.name: f"{part}.{field.name}"
    for part, kind in {
        "model": GR1Config,
        "optimizer": Optimizer,
        "loss": LossWeights,
        "shift": Shift,
        "evaluation": Evaluation,
        "corrections": Corrections,
    }.items()
    for field in dataclasses.fields(kind)
    if field.name not in Recipe.__dataclass_fields__
}
RESUMABLE = (
    "name",
    "out",
    "evaluation",
    "save_every",
    "micro_batch",
    "device",
    "threads",
    "loader_threads",
    "cache",
    "cache_gb",
    "decode_once",
    "compile",
    "wandb",
)
"""Keys that may differ between a run and its resumption."""


def changed_settings(before: Mapping, now: Mapping) -> list[str]:
    """Differences between two recipes (`to_dict`) that change a run's result, one line each."""
    old, new = (
        strict_yaml.flatten({key: value for key, value in raw.items() if key not in RESUMABLE})
        for raw in (before, now)
    )
    return [
        f"{key} was {old.get(key)}, is {new.get(key)}"
        for key in sorted(old | new)
        if old.get(key) != new.get(key)
    ]


def built_in() -> list[str]:
    """Names of the recipes that come with the package, without those that only others extend."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.yaml") if not path.stem.startswith("_"))


def path(name: str) -> Path:
    """The file of a built-in recipe."""
    return _BUILT_IN / f"{name}.yaml"


def load(source: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from the name of a built-in one or from a YAML file, with `key=value` overrides on top. Raises
    RecipeError.
    """
    raw = _read_with_parents(source)
    _override(raw, overrides, source)
    return from_dict(raw | {"name": Path(source).stem}, str(source))


def continued(saved: Mapping, overrides: Sequence[str], where: str) -> Recipe:
    """The recipe of a checkpoint's training.json with `key=value` overrides on top.

    Raises RecipeError; `where` names the checkpoint in its message.
    """
    raw = _merge(_read_with_parents("_base"), saved)
    _override(raw, overrides, where)
    return from_dict(raw, where)


def _override(raw: dict, overrides: Sequence[str], source: str) -> None:
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise RecipeError(f"'{override}': expected key=value, e.g. batch=32 or optimizer.lr=3e-4")
        if near := _NESTED.get(key.strip()):
            raise RecipeError(f"{source}: {key.strip()} is unknown, did you mean '{near}'?")
        try:
            _set_key(raw, key.strip(), strict_yaml.scalar(text))
        except yaml.YAMLError as error:
            raise RecipeError(f"{override}: not a YAML value") from error


def from_dict(raw: Mapping, where: str = "recipe") -> Recipe:
    """A recipe from `to_dict`'s form. Raises RecipeError; `where` names the source in its message."""
    if raw.get("data", "") is None and set(raw) <= {field.name for field in dataclasses.fields(Recipe)}:
        raise RecipeError(f"{where}: data is not set: data=DIR, a dataset made by `gr1 convert`")
    recipe = strict_yaml.parse(Recipe, raw, where, RecipeError, renamed=RECIPE_KEYS)
    _check_model(recipe.model, where)
    if problems := _contradictions(recipe):
        raise RecipeError(f"{where}: {'; '.join(problems)}")
    return recipe


def _contradictions(recipe: Recipe) -> list[str]:
    """Values that are out of range or do not go together."""
    optimizer, loss, config = recipe.optimizer, recipe.loss, recipe.config
    video = bool({"static", "wrist"} & set(recipe.targets))
    pretraining = recipe.stage == "pretrain"
    problems = {
        "warmup_epochs must not be negative": recipe.warmup_epochs < 0,
        "held_out must be in [0, 1)": not 0 <= recipe.held_out < 1,
        "share must be in (0, 1], or null for all": recipe.share is not None and not 0 < recipe.share <= 1,
        "optimizer.ema must be in [0, 1)": not 0 <= optimizer.ema < 1,
        "shift and colour must not be negative": min(recipe.shift.static, recipe.shift.wrist, recipe.colour)
        < 0,
        "hue must be in [0, 1]": not 0 <= recipe.hue <= 1,
        "video_share must be in (0, 1]": not 0 < recipe.video_share <= 1,
        "video_share below 1 does not go with stage pretrain": recipe.video_share < 1 and pretraining,
        "a weight in loss must not be negative": min(dataclasses.astuple(loss)) < 0,
        "loss: all weights are 0, nothing would be learned": not any(dataclasses.astuple(loss)),
        "stage pretrain has videos alone: loss.arm, loss.gripper and loss.wrist must be 0": pretraining
        and bool(set(recipe.targets) - {"static"}),
        "cameras: the baselines need both": recipe.cameras == "static" and config.policy != "gr1",
        "videos=DIR goes with stage finetune alone: pretrain learns from data=DIR": pretraining
        and recipe.videos is not None,
        "videos=DIR and loss.videos above 0 go together": bool(loss.videos) != (recipe.videos is not None),
        "videos=DIR needs a model that predicts frames, and loss.static above 0": recipe.videos is not None
        and not (config.predicts_frames and loss.static),
        "corrections.before_s and corrections.policy_weight must not be negative": recipe.corrections
        is not None
        and min(recipe.corrections.before_s, recipe.corrections.policy_weight) < 0,
        "corrections go with stage finetune alone: videos have no actions": recipe.corrections is not None
        and pretraining,
        "stage finetune needs loss.arm and loss.gripper above 0": not pretraining
        and not min(loss.arm, loss.gripper),
        "model.policy rt1 and r3m predict no frames: loss.static and loss.wrist must be 0": video
        and not config.predicts_frames,
        "model.vision conv_film is conditioned by the instruction and must be trained: train_vision=true": (
            config.vision_reads_text and not recipe.train_vision
        ),
        "model.frames change needs images, not a frozen encoder's tokens: train_vision=true": video
        and config.frames == "change"
        and not recipe.train_vision,
    }
    return [problem for problem, holds in problems.items() if holds]


def _read_with_parents(source: str, seen: tuple[str, ...] = ()) -> dict:
    """The recipe's keys on top of those of the recipes that it extends."""
    path = Path(source)
    if not path.suffix:
        path = _BUILT_IN / f"{source}.yaml"
    if not path.is_file():
        hint = did_you_mean(str(source), [*built_in(), *neighbours(Path(source))])
        known = f": built-in recipes are {', '.join(built_in())}; or give the path of a YAML file"
        raise RecipeError(f"no recipe '{source}'{hint or known}")
    raw = strict_yaml.read(path, RecipeError)
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}: expected keys and values, got {type(raw).__name__}")
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    if parent in seen:
        raise RecipeError(f"{path}: extends {parent}, which extends it")
    beside = path.parent / f"{parent}.yaml"
    return _merge(_read_with_parents(str(beside) if beside.is_file() else str(parent), (*seen, parent)), raw)


def _merge(below: dict, above: Mapping) -> dict:
    """`above` on top of `below`, nested."""
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        result[key] = _merge(below[key], value) if both else value
    return result


def _set_key(raw: dict, key: str, value) -> None:
    """Sets a dotted key in nested dictionaries."""
    *parents, last = key.split(".")
    for parent in parents:
        inside = raw.get(parent)
        raw[parent] = dict(inside) if isinstance(inside, Mapping) else {}
        raw = raw[parent]
    raw[last] = value


def _check_model(model: Mapping, where: str) -> None:
    sizes = ("paper", "demo", "small")
    if model.get("size") not in sizes:
        raise RecipeError(f"{where}: model.size is {model.get('size')!r}, expected {', '.join(sizes)}")
    known = ["size", *(field.name for field in dataclasses.fields(GR1Config))]
    for key in model:
        strict_yaml.check_key(key, known, where, RecipeError, prefix="model.")
    changes = {key: value for key, value in model.items() if key != "size"}
    try:
        dataclasses.replace(getattr(GR1Config, model["size"])(), **changes)
    except ConfigError as error:
        raise RecipeError(f"{where}: model.{error}") from error
