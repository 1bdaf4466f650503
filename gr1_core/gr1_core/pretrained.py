"""The checkpoints that come with the package, by name: `demo` controls the simulated rig. Without torch."""

from __future__ import annotations

from pathlib import Path

from gr1_core.hub import reference as hub
from gr1_core.suggestions import did_you_mean, neighbours

FOLDER = Path(__file__).parent / "checkpoints"
_FILES = ("model.safetensors", "config.json")
_CONFIG = "config.json"  # every checkpoint has one; a data folder with the name demo has none


def resolve(checkpoint: str | Path) -> Path:
    """The folder of a checkpoint's name, path or hf:// reference, which is fetched.

    A checkpoint in the current folder takes precedence over a pretrained one. Raises HubError.
    """
    path = hub.folder(checkpoint, hub.MODEL)
    ours = FOLDER / path
    shipped = len(path.parts) == 1 and (ours / _CONFIG).is_file()
    return ours if shipped and not (path / _CONFIG).is_file() else path


def names() -> list[str]:
    """The checkpoints that come with the package."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{_CONFIG}"))


def require(checkpoint: str | Path) -> Path:
    """As `resolve`, for a checkpoint that must be there. Raises CheckpointMissing, with what may be meant."""
    folder = resolve(checkpoint)
    if folder.is_file():
        raise CheckpointMissing(f"'{folder}' is a file; a checkpoint is a folder with {', '.join(_FILES)}")
    if not folder.is_dir():
        known = [*names(), *neighbours(folder)]
        hint = did_you_mean(str(checkpoint), known) or f"; shipped: {', '.join(names())}"
        raise CheckpointMissing(f"no checkpoint '{checkpoint}': there is no such folder{hint}")
    if missing := [file for file in _FILES if not (folder / file).is_file()]:
        raise CheckpointMissing(f"'{folder}' is not a whole checkpoint: {', '.join(missing)} is missing")
    return folder


class CheckpointMissing(ValueError):
    """There is no checkpoint of this name or path."""


def is_shipped(folder: Path) -> bool:
    """Whether this folder is one of the checkpoints that come with the package."""
    return folder.resolve().parent == FOLDER.resolve()


def name(folder: Path) -> str:
    """A checkpoint's name in reports: a pretrained one's name, another one's path as given."""
    return folder.name if folder.parent == FOLDER else str(folder)
