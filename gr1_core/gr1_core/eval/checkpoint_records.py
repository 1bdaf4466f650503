"""Small JSON records about a checkpoint, e.g. the verdict of its replay, bound to its weights by their
SHA-256.

A record lies in the checkpoint's folder. For a checkpoint that comes with the package, or in a folder that
cannot be written to, it lies in the user's state folder: $XDG_STATE_HOME/gr1/checkpoints/<SHA-256 of the
weights>/, by default ~/.local/state/gr1/checkpoints/... Both places are searched; the newest record on the
present weights holds.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from gr1_core import atomic_write, pretrained

WEIGHTS = "model.safetensors"
Record = TypeVar("Record")
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def fingerprint(folder: str | Path) -> str:
    """SHA-256 of the checkpoint's weights."""
    with (pretrained.resolve(folder) / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_record(folder: str | Path, name: str, record: Mapping) -> Path:
    """Writes the file `name` with the record, a key `weights` added.

    Returns where it lies. Raises OSError.
    """
    folder = pretrained.resolve(folder)
    weights = fingerprint(folder)
    document = {"weights": weights} | dict(record)
    if not pretrained.is_shipped(folder):
        try:
            atomic_write.write_json(folder / name, document)
            return folder / name
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
    path = _state_file(weights, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write.write_json(path, document | {"checkpoint": str(folder.resolve())})
    except OSError as error:
        raise OSError(
            f"{name} of checkpoint {folder} cannot be written to {path.parent} ({error.strerror}): "
            "set XDG_STATE_HOME to a folder that you may write to"
        ) from error
    return path


def load_record(
    folder: str | Path, name: str, parse: Callable[[dict], Record], command: str
) -> Record | None:
    """The newest record `name` on the weights that the checkpoint has now, parsed; None if there is none.

    parse raises ValueError, KeyError or TypeError for a damaged record; then a ValueError names the file and
    the command that makes it again.
    """
    folder = pretrained.resolve(folder)
    # Large weights take seconds to digest: only where there is a record to compare them with.
    if not (folder / name).is_file() and not any(_state_folder().glob(f"*/{name}")):
        return None
    weights = fingerprint(folder) if (folder / WEIGHTS).is_file() else ""
    found = [path for path in (folder / name, _state_file(weights, name)) if path.is_file()]
    for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            document = json.loads(path.read_text())
            record, of_weights = parse(document), document["weights"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged ({error!r}): run `{command}` again, or delete the file"
            ) from error
        if of_weights == weights:
            return record
    return None


def _state_file(weights: str, name: str) -> Path:
    return _state_folder() / weights / name


def _state_folder() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or ""
    # The XDG specification ignores paths that are not absolute.
    state = Path(home) if os.path.isabs(home) else Path.home() / ".local" / "state"
    return state / "gr1" / "checkpoints"
