"""Checkpoints: folders with model.safetensors, config.json, rig.yaml, and a tokenizer's files if CLIP's
folder had them.

A checkpoint of this trainer also has training.json: its stage, recipe, data and figures. LeRobot finds the
files of a policy of its own in it (`lerobot_files`). Functions that read a checkpoint also accept the name of
one that comes with the package, `demo`.
"""

from __future__ import annotations

import errno
import functools
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gr1_core import atomic_write, lfs
from gr1_core.model import factory, lerobot_files
from gr1_core.model.config import ConfigError, GR1Config
from gr1_core.model.gr1 import GR1
from gr1_core.pretrained import resolve
from gr1_core.renamed import current_weight_name
from gr1_core.rig import Rig, RigError

WEIGHTS, CONFIG, RIG, TRAINING = "model.safetensors", "config.json", "rig.yaml", "training.json"
_TOKENIZER = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, the value and the remedy."""


def save(
    folder: str | Path,
    weights: dict[str, Tensor],
    config: GR1Config,
    rig: Rig | None,
    training: dict | None = None,
) -> None:
    """Writes a checkpoint folder. Each file is written atomically, the weights last, so that an interrupted
    write is noticed.

    rig: None for a model of videos alone. training: the content of training.json. Raises CheckpointError.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"could not create the folder {folder}: {error.strerror or error}") from error
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    for name, value in lerobot_files.files(config.to_dict()).items():
        _write_file(folder / name, functools.partial(_write_json, value))
    if rig is not None:
        _write_file(folder / RIG, rig.save)
    if training is not None:
        _write_file(folder / TRAINING, functools.partial(_write_json, training))
    _write_file(folder / WEIGHTS, lambda path: save_file(weights, path, metadata={"format": "pt"}))


def load(folder: str | Path) -> tuple[GR1, Rig]:
    """A checkpoint folder -> the model in evaluation mode on the CPU, and its rig. Raises CheckpointError."""
    folder = resolve(folder)
    _require_files(folder, (CONFIG, WEIGHTS))
    if (read_training(folder) or {}).get("stage") == "pretrain":
        raise CheckpointError(
            f"{folder} was pre-trained on videos and never learned to act: "
            f"fine-tune it first, `gr1 finetune RECIPE init={folder}`"
        )
    _require_files(folder, (RIG,))
    try:
        rig = Rig.load(folder / RIG)
    except RigError as error:
        raise CheckpointError(str(error)) from error
    return load_model(folder), rig


def load_model(folder: str | Path) -> GR1:
    """The model of a checkpoint folder, also of a pre-trained one without a rig. Raises CheckpointError."""
    folder = resolve(folder)
    _require_files(folder, (CONFIG, WEIGHTS))
    try:
        config = GR1Config.load(folder / CONFIG)
        weights = {current_weight_name(name): value for name, value in load_file(folder / WEIGHTS).items()}
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    except SafetensorError as error:
        defect = f"is damaged or not a safetensors file ({error}): copy it again"
        raise CheckpointError(f"{folder / WEIGHTS} {lfs.explain(folder / WEIGHTS, defect)}") from error
    return build_model(config, weights, str(folder / WEIGHTS))


def read_training(folder: str | Path) -> dict | None:
    """The content of training.json; None for a checkpoint that this trainer did not write."""
    path = resolve(folder) / TRAINING
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copies the tokenizer's files from a checkpoint's or CLIP's folder, if it has them."""
    for name in _TOKENIZER:
        if (source / name).is_file():
            shutil.copy(source / name, folder / name)


def _require_files(folder: Path, names: tuple[str, ...]) -> None:
    if folder.is_file():
        raise CheckpointError(
            f"{folder} is a file, a checkpoint is a folder with {WEIGHTS}, {CONFIG} and {RIG}; "
            "convert ByteDance's snapshots with `gr1 import-official --snapshot FILE --out DIR`"
        )
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint at {folder}: the folder does not exist")
    for name in names:
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder} is not a complete checkpoint: {name} is missing (an interrupted write?)"
            )


def build_model(config: GR1Config, weights: dict[str, Tensor], where: str) -> GR1:
    """A model with exactly these weights, in eval mode. Raises CheckpointError for wrong keys, shapes and
    non-finite values.
    """
    with torch.device("meta"), _WithoutInitialValues():
        model = factory.new_model(config)
    check_weights(weights, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}, where)
    frozen = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(frozen[name])
    # Buffers that no checkpoint holds: CLIP's position ids.
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:
                setattr(module, name, torch.arange(buffer.numel()).reshape(buffer.shape))
    return model.eval()


class _WithoutInitialValues(TorchFunctionMode):
    """Leaves out initial values: on the meta device they have no effect, but PyTorch decomposes random ones
    with code whose import takes a second.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def check_weights(weights: dict[str, Tensor], expected: dict[str, tuple], where: str) -> None:
    """Raises CheckpointError unless keys and shapes are as expected and all values are finite. where: named
    in the message.
    """
    problems = []
    if missing := sorted(set(expected) - set(weights)):
        problems.append(f"{len(missing)} missing: {first_few(missing)}")
    if unknown := sorted(set(weights) - set(expected)):
        problems.append(f"{len(unknown)} unknown: {first_few(unknown)}")
    shapes = [
        f"{name} is {list(tensor.shape)}, the configuration says {list(expected[name])}"
        for name, tensor in weights.items()
        if name in expected and tuple(tensor.shape) != expected[name]
    ]
    if shapes:
        problems.append(f"{len(shapes)} of another shape: {first_few(shapes, '; ')}")
    if problems:
        raise CheckpointError(f"{where} does not fit its configuration: " + "; ".join(problems))
    if broken := [name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())]:
        raise CheckpointError(
            f"{where} holds NaN or infinite values in {first_few(broken)}: training diverged, or the file "
            "is damaged"
        )


def first_few(names: Iterable[str], join: str = ", ", most: int = 5) -> str:
    """The first names of many, for a message."""
    names = list(names)
    return join.join(names[:most]) + (f"{join}and {len(names) - most} more" if len(names) > most else "")


def _write_json(value: dict, path: Path) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def _write_file(path: Path, write: Callable[[Path], object]) -> None:
    try:
        with atomic_write.replacing(path) as partial:
            write(partial)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        if disk_is_full(error):
            reason = "the disk is full. Make room and run the same command again"
        raise CheckpointError(f"could not write {path}: {reason}") from error


def disk_is_full(error: Exception) -> bool:
    """Whether a write failed for lack of space. safetensors has an error class of its own, with the number in
    its text.
    """
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or f"os error {errno.ENOSPC}" in str(
        error
    )
