"""`hf://owner/name[@revision]`: a repository on the Hugging Face hub in the place of a folder.

`hf://datasets/owner/name` says that it is a dataset, where that is not clear from the place. Standard library
only; the hub's library is imported when something is fetched.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

SCHEME = "hf://"
MODEL, DATASET = "model", "dataset"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
# A Path has lost one of the two slashes.
_PATTERN = re.compile(rf"hf:/{{1,2}}(datasets/)?({_NAME}/{_NAME})(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?")


class HubError(ValueError):
    """A repository that cannot be named, reached, read or written; the text says which and the remedy."""


@dataclass(frozen=True)
class Reference:
    """repository: owner/name. kind: MODEL, DATASET, or None where the place decides. revision: branch, tag or
    commit; None: main.
    """

    repository: str
    kind: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        datasets = "datasets/" if self.kind == DATASET else ""
        at = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{datasets}{self.repository}{at}"


def is_reference(place: str | Path) -> bool:
    """Whether this is meant as a repository on the hub."""
    return str(place).startswith("hf:/")


def parse(place: str | Path) -> Reference:
    """Raises HubError for what is no reference."""
    found = _PATTERN.fullmatch(str(place))
    if not found or found[2].startswith("datasets/"):
        raise HubError(
            f"'{place}' is no repository on the hub: expected hf://owner/name, or hf://datasets/owner/name, "
            "with @revision behind it for another one than main"
        )
    return Reference(found[2], DATASET if found[1] else None, found[3])


def folder(place: str | Path, kind: str) -> Path:
    """A folder's path as it is; the local copy of a reference, fetched if it is not there or out of date.

    kind: what the place takes. Fetched once in a process. Raises HubError.
    """
    if not is_reference(place):
        return Path(place)
    reference = parse(place)
    if kind == MODEL and reference.kind == DATASET:
        raise HubError(f"{reference} is a dataset, where a checkpoint is expected")
    return _fetched(Reference(reference.repository, kind, reference.revision))


@functools.lru_cache
def _fetched(reference: Reference) -> Path:
    from gr1_core.hub.transfer import fetch

    return fetch(reference)
