"""Recipes: one YAML file a training run, every number of it named there and nowhere else.

A recipe may extend another (`extends: NAME`) and says only what differs; `key=value` on the command line goes on top of both, with dotted
names for what is nested (`optimizer.lr=3e-4`). Anything unknown, missing or of the wrong type is refused by name.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from gr1_core import strict_yaml
from gr1_core.model.config import ConfigError, GR1Config
from gr1_core.strict_yaml import RecipeError

_BUILT_IN = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Optimizer:
    """AdamW with a linear warm-up and a cosine decay to zero. clip_norm: of the gradient. ema: decay of averaged weights, 0 off."""

    lr: float
    weight_decay: float
    betas: tuple[float, float]
    clip_norm: float
    ema: float


@dataclass(frozen=True)
class Loss:
    """Weights of smooth-L1 of the arm, BCE of the gripper and MSE of the predicted frames; 0: not computed."""

    arm: float
    gripper: float
    static: float
    wrist: float


@dataclass(frozen=True)
class Shift:
    """Random shift in pixels of what the model sees of each camera, one for all frames of a window; 0 off."""

    static: int
    wrist: int


@dataclass(frozen=True)
class Evaluation:
    """Every so many steps and at the end, on at most `windows` held-out windows; that many of them as pictures."""

    every: int
    windows: int
    pictures: int


@dataclass(frozen=True)
class Recipe:
    """See the module's text and the comments in recipes/*.yaml."""

    name: str
    stage: Literal["pretrain", "finetune"]
    out: str
    seed: int
    # What is learned from.
    data: str
    validation: str | None
    held_out: float
    share: float | None
    hz: float | None
    starts: Literal["every", "first"]
    shift: Shift
    colour: float
    hue: float
    # The model and where its weights come from.
    model: Mapping[str, typing.Any]
    init: str | None
    mae: str | None
    clip: str | None
    encoders: Literal["official", "random"]
    train_vision: bool
    # How it is learned.
    batch: int
    epochs: float
    warmup_epochs: float
    steps: int | None
    optimizer: Optimizer
    loss: Loss
    video_share: float
    precision: Literal["auto", "bf16", "fp32"]
    # What does not change the result.
    evaluation: Evaluation
    save_every: int
    micro_batch: int | None
    device: Literal["auto", "cpu"]
    threads: int | None
    loader_threads: int | None
    cache: Literal["auto", "on", "off"]
    cache_gb: float

    @property
    def config(self) -> GR1Config:
        """The model's sizes: those of `size`, changed by what else `model` says."""
        sizes = dict(self.model)
        base = getattr(GR1Config, sizes.pop("size"))()
        return dataclasses.replace(base, **sizes)

    @property
    def targets(self) -> tuple[str, ...]:
        """What the model is asked for, in the order of `gr1.TARGETS`."""
        wanted = {
            "action": self.loss.arm or self.loss.gripper,
            "static": self.loss.static,
            "wrist": self.loss.wrist,
        }
        return tuple(name for name, weight in wanted.items() if weight)

    @property
    def roles(self) -> tuple[str, ...]:
        """The cameras that are looked at: pre-training on videos knows only the static one."""
        return ("static",) if self.stage == "pretrain" else ("static", "wrist")

    @property
    def pictured(self) -> int:
        """How many windows of a batch, the first ones, are supervised by the frames to come."""
        return max(1, round(self.video_share * self.batch))

    def to_dict(self) -> dict:
        plain = dataclasses.asdict(self)
        plain["optimizer"]["betas"] = list(self.optimizer.betas)
        plain["model"] = dict(self.model)
        return plain

    def schedule(self, per_epoch: int) -> tuple[int, int]:
        """(all steps, steps of warm-up). With `steps` set, the warm-up keeps its share."""
        steps = self.steps or max(1, round(self.epochs * per_epoch))
        return steps, round(steps * self.warmup_epochs / self.epochs)

    def lr(self, step: int, steps: int, warmup: int) -> float:
        """The learning rate of the step-th update, counted from 0."""
        if step < warmup:
            return self.optimizer.lr * (step + 1) / warmup
        return self.optimizer.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


# Names below the top level -> how they are written.
_NESTED = {
    field.name: f"{part}.{field.name}"
    for part, kind in {
        "model": GR1Config,
        "optimizer": Optimizer,
        "loss": Loss,
        "shift": Shift,
        "evaluation": Evaluation,
    }.items()
    for field in dataclasses.fields(kind)
    if field.name not in Recipe.__dataclass_fields__
}
# These may differ between the run that is resumed and the one that resumes it.
FREE = (
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
)


def differences(before: Mapping, now: Mapping) -> list[str]:
    """What of a recipe (`to_dict`) has changed that changes the result, one line each."""
    old, new = (_flat({key: value for key, value in raw.items() if key not in FREE}) for raw in (before, now))
    return [
        f"{key} was {old.get(key)}, is {new.get(key)}"
        for key in sorted(old | new)
        if old.get(key) != new.get(key)
    ]


def built_in() -> list[str]:
    """Names of the recipes that come with the package, without those that only others extend."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.yaml") if not path.stem.startswith("_"))


def load(source: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from the name of a built-in one or from a YAML file, with `key=value` changes on top. Raises RecipeError."""
    raw = _read(source)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise RecipeError(f"'{override}': expected key=value, e.g. batch=32 or optimizer.lr=3e-4")
        if near := _NESTED.get(key.strip()):
            raise RecipeError(f"{source}: {key.strip()} is unknown, did you mean '{near}'?")
        try:
            _put(raw, key.strip(), strict_yaml.scalar(text))
        except yaml.YAMLError as error:
            raise RecipeError(f"{override}: not a YAML value") from error
    return from_dict(raw | {"name": Path(source).stem}, str(source))


def from_dict(raw: Mapping, where: str = "recipe") -> Recipe:
    if raw.get("data", "") is None:
        raise RecipeError(f"{where}: data is not set: data=DIR, a data set that `gr1 convert` made")
    recipe = strict_yaml.build(Recipe, raw, where)
    _check_model(recipe.model, where)
    problems = {
        "batch must be at least 1": recipe.batch < 1,
        "epochs must be above 0": recipe.epochs <= 0,
        "warmup_epochs must not be negative": recipe.warmup_epochs < 0,
        "steps must be at least 1": recipe.steps is not None and recipe.steps < 1,
        "held_out must be in [0, 1)": not 0 <= recipe.held_out < 1,
        "share must be in (0, 1], or null for all": recipe.share is not None and not 0 < recipe.share <= 1,
        "optimizer.lr must be above 0": recipe.optimizer.lr <= 0,
        "optimizer.clip_norm must be above 0": recipe.optimizer.clip_norm <= 0,
        "optimizer.ema must be in [0, 1)": not 0 <= recipe.optimizer.ema < 1,
        "shift and colour must not be negative": min(recipe.shift.static, recipe.shift.wrist, recipe.colour) < 0,
        "hue must be in [0, 1]": not 0 <= recipe.hue <= 1,
        "video_share must be in (0, 1]": not 0 < recipe.video_share <= 1,
        "video_share below 1 goes neither with micro_batch nor with stage pretrain": recipe.video_share < 1
        and (recipe.micro_batch is not None or recipe.stage == "pretrain"),
        "a weight in loss must not be negative": min(dataclasses.astuple(recipe.loss)) < 0,
        "loss: all weights are 0, nothing would be learned": not any(dataclasses.astuple(recipe.loss)),
        "stage pretrain learns from videos alone: loss.arm, loss.gripper and loss.wrist must be 0": recipe.stage == "pretrain"
        and bool(set(recipe.targets) - {"static"}),
        "stage finetune needs loss.arm and loss.gripper above 0": recipe.stage == "finetune"
        and not min(recipe.loss.arm, recipe.loss.gripper),
        "model.policy rt1 and r3m predict no frames: loss.static and loss.wrist must be 0": not recipe.config.predicts_frames
        and bool({"static", "wrist"} & set(recipe.targets)),
        "model.vision film conditions the image encoder by words, which it must learn: train_vision=true": recipe.config.reads_before_seeing
        and not recipe.train_vision,
        "model.frames change is added to images, which a frozen encoder's tokens are not: train_vision=true": not recipe.train_vision
        and recipe.config.frames == "change" and bool({"static", "wrist"} & set(recipe.targets)),
        "save_every and evaluation.every must be at least 1": min(recipe.save_every, recipe.evaluation.every) < 1,
        "micro_batch must be at least 1": recipe.micro_batch is not None and recipe.micro_batch < 1,
    }  # fmt: skip
    if wrong := [said for said, holds in problems.items() if holds]:
        raise RecipeError(f"{where}: {'; '.join(wrong)}")
    return recipe


def _read(source: str, seen: tuple[str, ...] = ()) -> dict:
    path = Path(source)
    if not path.suffix:
        path = _BUILT_IN / f"{source}.yaml"
    if not path.is_file():
        near = difflib.get_close_matches(path.stem, built_in(), 1)
        hint = f", did you mean '{near[0]}'?" if near else ":"
        raise RecipeError(
            f"no recipe '{source}'{hint} built-in recipes are {', '.join(built_in())}; or give the path of a YAML file"
        )
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}: expected keys and values, got {type(raw).__name__}")
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    if parent in seen:
        raise RecipeError(f"{path}: extends {parent}, which extends it")
    beside = path.parent / f"{parent}.yaml"
    return _over(_read(str(beside) if beside.is_file() else str(parent), (*seen, parent)), raw)


def _over(below: dict, above: Mapping) -> dict:
    """`above` on top of `below`, nested."""
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        result[key] = _over(below[key], value) if both else value
    return result


def _put(raw: dict, key: str, value) -> None:
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
        strict_yaml.known(key, known, f"{where}: model.")
    try:
        dataclasses.replace(
            getattr(GR1Config, model["size"])(),
            **{key: value for key, value in model.items() if key != "size"},
        )
    except ConfigError as error:
        raise RecipeError(f"{where}: model.{error}") from error


def _flat(tree: Mapping, prefix: str = "") -> dict:
    flat = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
