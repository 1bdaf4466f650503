"""The interface of sources that `gr1 convert` reads: a source lists its units and turns a unit into episodes.

conversion.py does the rest (worker processes, resuming, sharding, merging, statistics, report) and imports no
source by name.
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
    """Something in the source cannot be used. The message names the file and the defect.

    Raised by `Source.read`, it skips the unit with all its episodes and lists it in the report. Raised
    elsewhere (constructor, `units`), it ends the command.
    """


@dataclass(frozen=True)
class Unit:
    """The piece of work of a worker, and the piece that is repeated after an interruption: a bag, a video, a
    group of spans.

    key: unique, stable and safe as a file name (see `safe_key`). bytes: of the source, for the progress bar.
    payload: what `read` needs; it is pickled to a worker process, so keep it small. fingerprint: changes with
    the content of the source (see `fingerprint`); a part with another fingerprint is made again.
    """

    key: str
    bytes: int
    payload: Any = None
    fingerprint: str = ""


@dataclass
class Episode:
    """One episode of a dataset. T steps; every array and list has length T >= 1.

    name: its origin, unique within the dataset. task: the instruction. images: role -> T encoded images, JPEG
    or PNG bytes of the source's `shapes`. state, action: f32[T, 7] (rig.state_vector; rig.delta and gripper,
    +1 open / -1 closed); both None in a dataset of videos. driver: u8[T], who drove (data/drivers.py); None:
    the demonstrator throughout. info: JSON-able, goes to meta/sources.jsonl and the report; the report uses
    the keys "source" (last parts of the path), "outcome", "operator", "problems"
    (texts: what was cut or is unusual) and "streams" (topic -> {"expected", "received", "gaps",
    "longest_gap_ms"}).
    """

    name: str
    task: str
    images: Mapping[str, list[bytes]]
    state: np.ndarray | None = None
    action: np.ndarray | None = None
    info: dict[str, Any] = field(default_factory=dict)
    driver: np.ndarray | None = None


@dataclass(frozen=True)
class Skipped:
    """An episode that `read` leaves out of a unit. Name and reason go to the report.

    intended: excluded by an option of the user; otherwise it counts as damaged. steps: that it had; 0 if it
    was
    not there at all; None: unknown, counted as many as the others have.
    """

    name: str
    reason: str
    intended: bool = False
    steps: int | None = None


class Source(Protocol):
    """Picklable: each worker process gets a copy.

    `read` must give the same episodes, bit for bit, at every call.

    kind: "demonstrations" or "videos" (no state, action, rig). origin: "bags", "calvin", "ego4d", "lerobot".
    fps: whole frames per second. shapes: role -> (height, width) of every frame. settings: JSON-able, all
    options that change the result of `read`; parts with other settings are made again.
    """

    kind: str
    origin: str
    fps: int
    rig: Rig | None
    shapes: Mapping[str, tuple[int, int]]
    settings: Mapping[str, Any]

    def units(self) -> list[Unit]:
        """All units, always in the same order, which is the order of the dataset's episodes."""

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        """Yields one episode at a time, to limit memory; it may yield none."""


def safe_key(name: str) -> str:
    """The name if it consists of at most 180 of [A-Za-z0-9._-]; otherwise its safe characters and a digest of
    it.
    """
    if SAFE_KEY.fullmatch(name):
        return name
    return f"{re.sub('[^A-Za-z0-9._-]+', '-', name)[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def fingerprint(paths: Iterable[Path]) -> str:
    """A digest of names, sizes and modification times: cheap, and different after a file was rewritten."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]
