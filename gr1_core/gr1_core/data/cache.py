"""Files that are computed once per machine from a dataset and can be deleted at any time.

They lie in `$GR1_CACHE/<dataset>-<key>/`, or in `<dataset>/.cache/<key>/`. The key depends on the dataset's
checksums, so a dataset that was rewritten gets an empty folder. Files are written atomically; of several
processes one writes a file and the others wait.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from gr1_core import atomic_write

_MARGIN = 64 << 20  # bytes that stay free on the disk


class DatasetError(ValueError):
    """A dataset that cannot be read, or a cache of it that cannot be written; names file and remedy."""


class Cache:
    """The folder of one dataset's computed files. It is created with the first file."""

    def __init__(self, root: Path, location: str | Path | None = None):
        key = fingerprint(root)
        location = location or os.environ.get("GR1_CACHE")
        self.folder = Path(location) / f"{root.resolve().name}-{key}" if location else root / ".cache" / key

    def path(self, name: str) -> Path:
        """Where file `name` is, or will be."""
        return self.folder / name

    @contextmanager
    def creating(self, name: str, size: int) -> Iterator[Path | None]:
        """`with cache.creating(name, size) as partial:` write the file `partial`; it becomes `path(name)` at
        the end of the block.

        size: expected bytes; a disk with less space is refused. partial is None if another process has
        written the file meanwhile. Raises DatasetError.
        """
        path = self.path(name)
        with self._locked(name):
            if path.is_file():
                yield None
                return
            atomic_write.remove_partials(self.folder, name)
            free = shutil.disk_usage(self.folder).free
            if size + _MARGIN > free:
                raise DatasetError(
                    f"{path} needs {size / 1e9:.2f} GB, {free / 1e9:.2f} GB are free there: "
                    "make room, or set GR1_CACHE to a folder on a larger disk"
                )
            with atomic_write.replacing(path) as partial:
                yield partial

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        lock = FileLock(self.folder / f"{name}.lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise DatasetError(
                f"cannot write in {self.folder} ({error.strerror}): set GR1_CACHE to a folder on this "
                "machine's disk"
            ) from error
        try:
            yield
        finally:
            lock.release()


def fingerprint(root: Path) -> str:
    """16 hexadecimal digits that change with the dataset's files: from meta/sha256sums, else from names,
    sizes and times.
    """
    sums = root / "meta" / "sha256sums"
    if sums.is_file():
        return hashlib.sha256(sums.read_bytes()).hexdigest()[:16]
    listed = []
    for path in sorted([*root.glob("meta/**/*"), *root.glob("data/**/*.parquet")]):
        if path.is_file():
            found = path.stat()
            listed.append(f"{path.relative_to(root)} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()[:16]
