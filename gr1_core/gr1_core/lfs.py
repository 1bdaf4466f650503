"""Git LFS pointers: text files of about 130 bytes that stand in for binary files in a clone made without
git-lfs.
"""

from __future__ import annotations

from pathlib import Path

_FIRST = b"version https://git-lfs.github.com/spec/"
_LONGEST = 1024


def is_pointer(path: str | Path) -> bool:
    """Whether the file is a Git LFS pointer. False for a file that is missing or cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_FIRST)) == _FIRST
    except OSError:
        return False


def is_pointer_text(data) -> bool:
    """Whether bytes, e.g. those of an embedded image, are a Git LFS pointer."""
    return len(data) <= _LONGEST and bytes(data[: len(_FIRST)]) == _FIRST


def explain(path: str | Path, otherwise: str = "") -> str:
    """The defect of a binary file that cannot be read: that it is a pointer, with the remedy, or
    `otherwise`.
    """
    return REMEDY if is_pointer(path) else otherwise


REMEDY = (
    "is a Git LFS pointer, not the file itself: install git-lfs and run `git lfs pull` in its repository, or "
    "download the file"
)
