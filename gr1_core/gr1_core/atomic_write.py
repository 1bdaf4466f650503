"""Atomic file writes: after a crash or a power cut a file is the old one or the new one, never a part of
either.

The content goes to `<name>.<unique>.partial` in the same folder, is synced to disk and then renamed. A write
that fails removes its partial file; a process that is killed leaves it behind (see `remove_partials`).
Standard library only.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".partial"


@contextmanager
def replacing(path: str | Path, mode: int = 0o666) -> Iterator[Path]:
    """`with replacing(path) as partial:` write the file `partial`; on success it replaces `path`.

    Inside the block `partial` exists and is empty. mode: permissions of a new file, reduced by the umask. The
    folder must exist. If the block raises, `path` stays as it was. Raises OSError.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        permissions = os.fstat(descriptor).st_mode & 0o7777
        os.close(descriptor)
        yield partial
        # A library may have replaced the file by one with other permissions (safetensors: 0600).
        partial.chmod(permissions)
        _sync(partial)
        os.replace(partial, path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes, mode: int = 0o666) -> None:
    """Writes or replaces a file atomically. Raises OSError."""
    with replacing(path, mode) as partial:
        partial.write_bytes(data)


def write_text(path: str | Path, text: str, mode: int = 0o666) -> None:
    """Writes or replaces a UTF-8 file atomically. Raises OSError."""
    write_bytes(path, text.encode(), mode)


def write_json(path: str | Path, value: object, indent: int | None = 1) -> None:
    """Writes or replaces a JSON file atomically. Raises OSError."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def sync_folder(folder: str | Path) -> None:
    """Syncs a folder's entries to disk, so that files renamed in it survive a power cut."""
    _sync(folder)


def remove_partials(folder: str | Path, name: str = "*") -> None:
    """Removes what killed writers of `name` left in a folder. Call it only while no other process writes
    there.
    """
    for path in Path(folder).glob(f"{name}.*{SUFFIX}"):
        path.unlink(missing_ok=True)


def _sync(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
