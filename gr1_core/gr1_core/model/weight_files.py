"""Files of weights in other people's layouts -> tensors by name; nothing in them is executed."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from gr1_core import lfs
from gr1_core.model.checkpoint import CheckpointError

_LEADING = re.compile(r"^(module\.|model\.)+")
_COMPILED = "_orig_mod."


def without_prefixes(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Names without what trainers put before them: `module.` of data-parallel training, `model.` of
    Lightning,
    `_orig_mod.` of a compiled model or part.

    Raises CheckpointError if two names become one.
    """
    result, before = {}, {}
    for key, value in state.items():
        name = _LEADING.sub("", key.replace(_COMPILED, ""))
        if name in result:
            raise CheckpointError(
                f"{path}: {before[name]} and {key} are one tensor's name with different prefixes: which "
                "of them "
                "is right is unknown"
            )
        result[name], before[name] = value, key
    return result


def read_weights(path: Path, inner: str) -> dict[str, Tensor]:
    """A file of weights -> its tensors by name; nothing in the file is executed as a pickle."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no file {path}")
    try:
        payload = load_file(path) if path.suffix == ".safetensors" else _torch_load(path)
    except Exception as error:  # the unpickler meets garbage with whatever error comes first
        # PyTorch's own words advise to load it unsafely.
        defect = f"cannot be read as weights ({type(error).__name__}): damaged, or not a checkpoint?"
        raise CheckpointError(f"{path} {lfs.explain(path, defect)}") from error
    if isinstance(payload, dict) and isinstance(payload.get(inner), dict):
        payload = payload[inner]
    if (
        not isinstance(payload, dict)
        or not payload
        or not all(isinstance(value, Tensor) for value in payload.values())
    ):
        raise CheckpointError(f"{path} does not hold a '{inner}' of tensors")
    return payload


def _torch_load(path: Path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        if "TorchScript" not in str(error):
            raise
        # OpenAI's own file is a TorchScript archive.
        return torch.jit.load(path, map_location="cpu").state_dict()
