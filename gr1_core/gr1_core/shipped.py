"""The checkpoints that come with the package, by name: `demo` drives the simulated rig. Without torch, so that anybody may ask."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "checkpoints"


def resolve(checkpoint: str | Path) -> Path:
    """The folder that a checkpoint's name or path means. A folder that lies here wins over a shipped one of its name."""
    path = Path(checkpoint)
    ours = FOLDER / path
    return ours if not path.exists() and len(path.parts) == 1 and ours.is_dir() else path
