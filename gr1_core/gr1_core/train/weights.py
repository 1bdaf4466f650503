"""What a run begins with: which tensors are taken over from where, which are new, which are trained."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from gr1_core.model import checkpoint, factory
from gr1_core.model.checkpoint import CheckpointError
from gr1_core.model.config import GR1Config
from gr1_core.model.gr1 import GR1
from gr1_core.model.official import read_encoders
from gr1_core.train.recipe import Recipe, RecipeError

_ENCODERS = ("text.", "vision.")
# Which tensors only matter to one target or input; what is not listed is always used.
_OF_TARGET = {
    "action": ("action_head.", "query.action"),
    "static": ("query.static",),
    "wrist": ("query.wrist",),
}
_OF_STATE = ("embed_arm.", "embed_gripper.", "embed_state.")
_OF_WRIST = ("embed_patches.wrist.", "embed_cls.wrist.")
# Read by nothing, or fixed tables.
_NEVER = ("transformer.wte", "text.clip.", "text.logit_scale", "decoder.pos_embed")
# These may differ from those of the checkpoint that a run starts from: no tensor depends on them.
_FREE_SIZES = ("dropout", "future_steps")
# How the sizes begin that a policy of another kind must share, of which only the encoders are taken.
_OF_ENCODERS = ("vision", "text", "image_size", "patch_size")


@dataclass(frozen=True)
class WeightsReport:
    """Names of tensors, each in exactly one of taken_over and new; `trained` and `frozen` divide them again."""

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
    """The model that a run starts with, in fp32 on the CPU; what is new depends on the recipe's seed alone."""
    config = recipe.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = factory.new_model(config)
    if recipe.init is not None:
        taken, source = _from_checkpoint(recipe, config), recipe.init
    elif recipe.encoders == "random":
        taken, source = {}, "nothing: random encoders"
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
    """Lets exactly those parameters be trained that get a gradient from the recipe's losses; returns their names."""
    unused = list(_NEVER)
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
    """Of a pre-trained model what was trained, and the encoders; of another kind of policy the encoders; of any other model everything."""
    if recipe.mae or recipe.clip:
        raise RecipeError(
            f"init={recipe.init} brings its encoders along: leave out mae and clip, or set init=null"
        )
    folder = Path(recipe.init)
    if not folder.exists():
        raise RecipeError(
            f"init: no checkpoint at {folder}: run the pre-training that leaves it (`gr1 pretrain`), name another with init=DIR, "
            "or begin without one: init=null" + ("" if recipe.encoders == "random" else " mae=FILE clip=FILE")
        )
    model, training = checkpoint.load_model(folder), checkpoint.read_training(folder)
    theirs, ours = model.config.to_dict(), config.to_dict()
    foreign = model.config.policy != config.policy
    compared = [key for key in ours if (key.startswith(_OF_ENCODERS) if foreign else key not in _FREE_SIZES)]
    if wrong := [
        f"{key} is {theirs[key]} there, {ours[key]} here" for key in compared if theirs[key] != ours[key]
    ]:
        raise RecipeError(
            f"init: {folder} is a model of another configuration: {'; '.join(wrong)}. Set model.* accordingly"
        )
    weights = model.state_dict()
    if foreign:
        return {name: tensor for name, tensor in weights.items() if name.startswith(_ENCODERS)}
    if training is None or training["stage"] != "pretrain":
        return weights
    kept = set(training["trained"])
    return {
        name: tensor
        for name, tensor in weights.items()
        if name in kept or name.startswith((*_ENCODERS, "decoder.pos_embed"))
    }


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
