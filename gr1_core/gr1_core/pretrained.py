"""The checkpoints that come with the package, by name: `demo` controls the simulated rig. Without torch."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "checkpoints"
_CONFIG = "config.json"  # every checkpoint has one; a data folder with the name demo has none


def resolve(checkpoint: str | Path) -> Path:
    """The folder of a checkpoint's name or path. A checkpoint in the current folder takes precedence over a
    pretrained one.
    """
    path = Path(checkpoint)
    ours = FOLDER / path
    shipped = len(path.parts) == 1 and (ours / _CONFIG).is_file()
    return ours if shipped and not (path / _CONFIG).is_file() else path


def is_shipped(folder: Path) -> bool:
    """Whether this folder is one of the checkpoints that come with the package."""
    return folder.resolve().parent == FOLDER.resolve()


def name(folder: Path) -> str:
    """A checkpoint's name in reports: a pretrained one's name, another one's path as given."""
    return folder.name if folder.parent == FOLDER else str(folder)
