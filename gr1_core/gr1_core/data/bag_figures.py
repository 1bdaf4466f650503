"""Figures of bags for the outlier list, with a cache on disk, since a bag must be read for them once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from gr1_core import atomic_write
from gr1_core.data import metadata
from gr1_core.data.bag import Bag, BagError
from gr1_core.data.outliers import EpisodeFigures, episode_figures
from gr1_core.data.schemas import SchemaError
from gr1_core.data.steps import Selection, StepsError, read_steps, select_steps
from gr1_core.data.verification import stream_statistics
from gr1_core.images import ImageError
from gr1_core.rig import RigError

_VERSION = 1
_GREY_SIDE = 8


def bag_figures(bag: Bag) -> EpisodeFigures:
    """Figures of the part of the bag that its marks keep; for a bag that conversion refuses, why."""
    task = bag.labels.get("task") or bag.instruction
    try:
        chosen = select_steps(bag)
        first = next(iter(read_steps(bag, selection=chosen)))
        lost = max(lost_share(bag, chosen.topics), cut_share(chosen))
        repeated = max(float((np.diff(frames) == 0).mean()) for frames in chosen.frames.values())
        grey = [value for role in chosen.frames for value in _grey(getattr(first, role).image())]
        return episode_figures(
            bag.name,
            task,
            chosen.state,
            chosen.action,
            bag.rig,
            lost,
            repeated if len(chosen.times) > 1 else 0.0,
            grey,
        )
    except (BagError, StepsError, SchemaError, RigError, ImageError, OSError) as error:
        return EpisodeFigures(bag.name, task, problem=str(error))


def lost_share(bag: Bag, topics: Mapping[str, str]) -> float:
    """The largest share of a camera's frames that its nominal rate promised and the bag does not hold."""
    rows = stream_statistics(bag)
    found = [rows[topic] for topic in topics.values() if topic in rows and rows[topic]["expected"] > 0]
    return max((max(0.0, 1.0 - row["received"] / row["expected"]) for row in found), default=0.0)


def cut_share(chosen: Selection) -> float:
    """The share of the marked steps that conversion drops because a stream has a gap."""
    marked = chosen.recorded - chosen.trimmed
    return (marked - len(chosen.times)) / marked if marked else 0.0


class FigureCache:
    """Figures of the bags of one folder, kept in the user's cache folder. Not thread-safe.

    A bag is read again when its file or its labels have changed. A cache that cannot be written is no error.
    """

    def __init__(self, root: str | Path):
        digest = hashlib.sha256(str(Path(root).absolute()).encode()).hexdigest()[:24]
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._path = base / "gr1" / "episodes" / f"{digest}.json"
        self._known: dict[str, tuple[str, EpisodeFigures]] = {}
        try:
            stored = json.loads(self._path.read_text())
            if stored["version"] == _VERSION:
                self._known = {
                    name: (state, EpisodeFigures.from_dict(values))
                    for name, (state, values) in stored["bags"].items()
                }
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none yet, or of another version

    def get(self, folder: Path) -> EpisodeFigures | None:
        """The figures of a bag if they are known and up to date."""
        known = self._known.get(str(folder))
        return known[1] if known and known[0] == _state(folder) else None

    def read(self, folder: Path) -> EpisodeFigures:
        """The figures of a bag; reads it if necessary. Raises BagError for a folder that is no bag."""
        if (known := self.get(folder)) is not None:
            return known
        state = _state(folder)
        figures = bag_figures(Bag(folder))
        self._known[str(folder)] = state, figures
        return figures

    def save(self, folders: Iterable[Path]) -> None:
        """Stores the figures of these bags."""
        bags = {
            str(folder): (known[0], known[1].to_dict())
            for folder in folders
            if (known := self._known.get(str(folder)))
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write.write_text(self._path, json.dumps({"version": _VERSION, "bags": bags}))
        except OSError:
            pass  # the next run reads the bags again


def _state(folder: Path) -> str:
    try:
        files = [folder / metadata.METADATA_FILE, *sorted(folder.glob("*.mcap"))]
        return " ".join(f"{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files)
    except OSError:
        return ""


def _grey(frame: np.ndarray) -> list[int]:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (_GREY_SIDE, _GREY_SIDE), interpolation=cv2.INTER_AREA).ravel().tolist()
