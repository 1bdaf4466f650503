"""A run's initial weights: which tensors are taken over from where, which are new, which are trained."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from gr1_core.hub import reference as hub
from gr1_core.model import checkpoint, factory
from gr1_core.model.checkpoint import CheckpointError
from gr1_core.model.config import GR1Config
from gr1_core.model.gr1 import GR1
from gr1_core.model.official import initial_weights, read_encoders
from gr1_core.train.recipe import Recipe, RecipeError

_ENCODERS = ("text.", "vision.")
# Tensors that matter only to one target or input; others are always used.
_OF_TARGET = {
    "action": ("action_head.", "query.action"),
    "static": ("query.static",),
    "wrist": ("query.wrist",),
}
_OF_STATE = ("embed_arm.", "embed_gripper.", "embed_state.")
_OF_WRIST = ("embed_patches.wrist.", "embed_cls.wrist.")
# Unused tensors, and fixed tables.
_NEVER_TRAINED = ("transformer.wte", "text.clip.", "text.logit_scale", "decoder.pos_embed")
# May differ from the initial checkpoint: no tensor's shape depends on them.
_FREE_SIZES = ("dropout", "future_steps")
# Sizes that a checkpoint of another kind of policy must share: only its encoders are taken over.
_OF_ENCODERS = ("vision", "text", "image_size", "patch_size")


@dataclass(frozen=True)
class WeightsReport:
    """Names of tensors. Each is in exactly one of taken_over and new, and in exactly one of trained and
    frozen.
    """

    source: str
    taken_over: list[str]
    new: list[str]
    trained: list[str]
    frozen: list[str]

    def to_dict(self) -> dict:
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"weights from {self.source}"]
        for label in ("taken_over", "new", "trained", "frozen"):
            names = getattr(self, label)
            parts = Counter(name.split(".")[0] for name in names)
            listed = ", ".join(f"{part} {count}" for part, count in parts.items()) or "none"
            lines.append(f"  {label.replace('_', ' '):10} {len(names):4} tensors: {listed}")
        return "\n".join(lines)


def initial_model(recipe: Recipe) -> tuple[GR1, WeightsReport]:
    """A run's initial model, in fp32 on the CPU. New weights depend on the recipe's seed alone. Raises
    RecipeError.
    """
    config = recipe.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = factory.new_model(config)
    if recipe.init is not None:
        taken, source = _from_checkpoint(recipe, config), recipe.init
    elif recipe.encoders == "random":
        taken, source = {}, "scratch: random encoders"
    else:
        taken, source = _from_files(recipe, config), f"{recipe.mae} and {recipe.clip}"
    model.load_state_dict(taken, strict=False)
    names = list(model.state_dict())
    trained = set_trained(model, recipe)
    report = WeightsReport(
        source=source,
        taken_over=[name for name in names if name in taken],
        new=[name for name in names if name not in taken],
        trained=trained,
        frozen=[name for name in names if name not in set(trained)],
    )
    return model, report


def set_trained(model: GR1, recipe: Recipe) -> list[str]:
    """Sets requires_grad of exactly the parameters that get a gradient from the recipe's losses; returns
    their names.
    """
    unused = list(_NEVER_TRAINED)
    for target, prefixes in _OF_TARGET.items():
        unused += () if target in recipe.targets else prefixes
    unused += () if {"static", "wrist"} & set(recipe.targets) else ("decoder.",)
    unused += () if recipe.stage == "finetune" else _OF_STATE
    unused += () if "wrist" in recipe.roles else _OF_WRIST
    unused += () if recipe.train_vision else ("vision.",)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(tuple(unused)))
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def _from_checkpoint(recipe: Recipe, config: GR1Config) -> dict[str, torch.Tensor]:
    """From a pre-trained model its trained tensors and its encoders; from another kind of policy its
    encoders; otherwise all tensors.
    """
    folder = hub.folder(recipe.init, hub.MODEL)
    if folder.is_file():
        return _from_snapshot(recipe, config)
    if recipe.mae or recipe.clip:
        raise RecipeError(
            f"init={recipe.init} has encoders of its own: leave out mae and clip, or set init=null"
        )
    if not folder.exists():
        raise RecipeError(
            f"init: no checkpoint at {folder}: run the pre-training that writes it (`gr1 pretrain`), name "
            "another with init=DIR, "
            "or start without one: init=null" + ("" if recipe.encoders == "random" else " mae=FILE clip=FILE")
        )
    model, training = checkpoint.load_model(folder), checkpoint.read_training(folder)
    theirs, ours = model.config.to_dict(), config.to_dict()
    foreign = model.config.policy != config.policy
    videos_only = training is not None and training["stage"] == "pretrain"
    # A pre-trained model's action head is not taken over.
    free = (*_FREE_SIZES, "chunk") if videos_only else _FREE_SIZES
    compared = [key for key in ours if (key.startswith(_OF_ENCODERS) if foreign else key not in free)]
    if wrong := [
        f"{key} is {theirs[key]} there, {ours[key]} here" for key in compared if theirs[key] != ours[key]
    ]:
        raise RecipeError(
            f"init: {folder} is a model of another configuration: {'; '.join(wrong)}. Set model.* accordingly"
        )
    weights = model.state_dict()
    if foreign:
        return {name: tensor for name, tensor in weights.items() if name.startswith(_ENCODERS)}
    if not videos_only:
        return weights
    kept = set(training["trained"])
    return {
        name: tensor
        for name, tensor in weights.items()
        if name in kept or name.startswith((*_ENCODERS, "decoder.pos_embed"))
    }


def _from_snapshot(recipe: Recipe, config: GR1Config) -> dict[str, torch.Tensor]:
    """From a snapshot file of GR-1 or GR-MG."""
    if config.policy != "gr1" or config.vision != "vit" or config.text != "clip":
        raise RecipeError(
            f"init={recipe.init}: a snapshot file holds a GR-1 with a ViT and CLIP; this recipe trains "
            f"policy={config.policy} vision={config.vision} text={config.text}"
        )
    encoders = (Path(path) if path else None for path in (recipe.mae, recipe.clip))
    try:
        return initial_weights(Path(recipe.init), config, *encoders)
    except CheckpointError as error:
        raise RecipeError(f"init: {error}") from error


def _from_files(recipe: Recipe, config: GR1Config) -> dict[str, torch.Tensor]:
    files = {
        "mae": (recipe.mae, "mae_pretrain_vit_base.pth (MAE ViT-B/16, from facebookresearch/mae)"),
        "clip": (
            recipe.clip,
            "ViT-B-32.pt (OpenAI's CLIP ViT-B/32), or transformers' folder openai/clip-vit-base-patch32",
        ),
    }
    for key, (given, what) in files.items():
        if given is None:
            raise RecipeError(
                f"{key} is not set: download {what} and give its path, {key}=FILE; "
                "or start from a checkpoint with init=DIR; encoders=random trains on untrained encoders"
            )
        if not Path(given).exists():
            raise RecipeError(f"{key}: no file {given}; expected {what}")
    try:
        return read_encoders(Path(recipe.mae), Path(recipe.clip), config)
    except CheckpointError as error:
        raise RecipeError(
            f"{error} (the encoders' sizes are those of model.size={recipe.model['size']})"
        ) from error
