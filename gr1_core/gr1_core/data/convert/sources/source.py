"""What a converter reads from: a source lists its units, and turns one unit into episodes.

The driver does the rest (worker processes, resuming, sharding, merging, statistics, the report), and never imports a source by name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gr1_core.rig import Rig

SAFE_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,179}")


class SourceError(ValueError):
    """Something in the source cannot be used. The text names the file and the defect.

    Raised by `Source.read` it costs that unit (all of its episodes): it is named, skipped and listed in the report. Raised by
    anything else (the constructor, `units`) it ends the command.
    """


@dataclass(frozen=True)
class Unit:
    """What one worker converts at a time and what is done again after an interruption: a bag, a video, a stretch of play.

    key: unique, stable and safe as a file name (see `safe_key`). bytes: of the source, for the progress bar.
    payload: whatever `read` needs; travels to a worker process by pickle, so keep it small. fingerprint: changes when the source's
    content does (see `fingerprint`); a part that was made from another one is made again.
    """

    key: str
    bytes: int
    payload: Any = None
    fingerprint: str = ""


@dataclass
class Episode:
    """One episode as the data set holds it. T steps; every array and list has length T >= 1.

    name: where it comes from, unique within the data set. task: the instruction. images: role -> T encoded pictures, JPEG or PNG
    bytes of the source's `shapes`. state, action: f32[T, 7] (rig.state_vector; rig.delta and gripper, +1 open / -1 closed); both
    None in a set of videos. info: JSON-able, goes to meta/sources.jsonl and the report; keys that the report knows:
    "source" (last parts of the path), "outcome", "operator", "problems" (list of texts: what was cut or is odd), "streams" (topic ->
    {"expected", "received", "gaps", "longest_gap_ms"}).
    """

    name: str
    task: str
    images: Mapping[str, list[bytes]]
    state: np.ndarray | None = None
    action: np.ndarray | None = None
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """An episode that `read` leaves out while it goes on with the unit: name and reason go to the report.

    intended: the user asked for it (a filter); otherwise it counts as damaged.
    """

    name: str
    reason: str
    intended: bool = False


class Source(Protocol):
    """Picklable: each worker process gets its own copy. `read` must give the same episodes, bit for bit, whenever it is called.

    kind: "demonstrations" or "videos" (no state, action, rig). origin: "bags", "calvin", "ego4d", "lerobot". fps: whole frames a
    second. shapes: role -> (height, width) of every frame. settings: JSON-able, all options that change what `read` gives; parts
    that were made under others are made again.
    """

    kind: str
    origin: str
    fps: int
    rig: Rig | None
    shapes: Mapping[str, tuple[int, int]]
    settings: Mapping[str, Any]

    def units(self) -> list[Unit]:
        """All units, always in the same order: the order of the data set's episodes."""

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        """One episode at a time, so that memory never holds more. No episode at all is allowed."""


def safe_key(name: str) -> str:
    """The name if it is of [A-Za-z0-9._-] and at most 180 characters; otherwise what is left of it, and a digest of it all."""
    if SAFE_KEY.fullmatch(name):
        return name
    return f"{re.sub('[^A-Za-z0-9._-]+', '-', name)[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def fingerprint(paths: Iterable[Path]) -> str:
    """A digest of names, sizes and times of change: cheap, and different when one of the files was written again."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]
