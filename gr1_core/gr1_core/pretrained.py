"""The checkpoints that come with the package, by name: `demo` drives the simulated rig. Without torch, so that anybody may ask."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "checkpoints"
_CONFIG = "config.json"  # every checkpoint has one; a folder of data that happens to be called demo has none


def resolve(checkpoint: str | Path) -> Path:
    """The folder that a checkpoint's name or path means. A checkpoint that lies where you stand wins over a shipped one of its name."""
    path = Path(checkpoint)
    ours = FOLDER / path
    shipped = len(path.parts) == 1 and (ours / _CONFIG).is_file()
    return ours if shipped and not (path / _CONFIG).is_file() else path


def is_shipped(folder: Path) -> bool:
    """Whether this folder is one of the checkpoints that come with the package."""
    return folder.resolve().parent == FOLDER.resolve()


def name(folder: Path) -> str:
    """What a checkpoint is called in what is printed and kept: a shipped one by its name, another by its path as it was given."""
    return folder.name if folder.parent == FOLDER else str(folder)
