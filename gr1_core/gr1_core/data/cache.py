"""What is worth computing once per machine: files beside a dataset that can be made again from it at any time.

They lie in `$GR1_CACHE/<dataset>-<key>/`, or in `<dataset>/.cache/<key>/`. The key is the dataset's checksums, so that a dataset
that was written anew finds an empty folder. A file appears whole or not at all; of several processes one builds it and the others wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_MARGIN = 64 << 20  # bytes that stay free on the disk


class DatasetError(ValueError):
    """A dataset that cannot be trained on, or a cache of it that cannot be written; says which file and what to do."""


class Cache:
    """The folder of one dataset's files. Nothing is created before the first `get`."""

    def __init__(self, root: Path, location: str | Path | None = None):
        key = fingerprint(root)
        location = location or os.environ.get("GR1_CACHE")
        self.folder = Path(location) / f"{root.resolve().name}-{key}" if location else root / ".cache" / key

    def get(self, name: str, size: int, build: Callable[[Path], None]) -> Path:
        """The path of file `name`; if it is not there, `build(path)` writes it (about `size` bytes) under another name first."""
        path = self.folder / name
        if path.is_file():
            return path
        with self._locked(name):
            if not path.is_file():
                free = shutil.disk_usage(self.folder).free
                if size + _MARGIN > free:
                    raise DatasetError(
                        f"{path} needs {size / 1e9:.2f} GB, {free / 1e9:.2f} GB are free there: "
                        "make room, or set GR1_CACHE to a folder on a larger disk"
                    )
                partial = path.with_name(f"{name}.partial")
                try:
                    build(partial)
                    with open(partial, "rb") as file:
                        os.fsync(file.fileno())
                    os.replace(partial, path)
                finally:
                    partial.unlink(missing_ok=True)
        return path

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / f"{name}.lock", "w")
        except OSError as error:
            raise DatasetError(
                f"cannot write in {self.folder} ({error.strerror}): set GR1_CACHE to a folder on this machine's disk"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def fingerprint(root: Path) -> str:
    """16 hexadecimal digits that change when the dataset's files do: from meta/sha256sums, else from names, sizes and times."""
    sums = root / "meta" / "sha256sums"
    if sums.is_file():
        return hashlib.sha256(sums.read_bytes()).hexdigest()[:16]
    listed = []
    for path in sorted([*root.glob("meta/**/*"), *root.glob("data/**/*.parquet")]):
        if path.is_file():
            found = path.stat()
            listed.append(f"{path.relative_to(root)} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()[:16]
