"""The bags of one folder for the workstation page: rows, counts per task, thumbnails, free disk space."""

from __future__ import annotations

import shutil
import threading
from collections import Counter, OrderedDict, defaultdict
from datetime import UTC, datetime
from pathlib import Path

import cv2

from gr1_core import images
from gr1_core.data import metadata, schemas
from gr1_core.data.bag import Bag, BagError, find_candidates
from gr1_core.data.schemas import SchemaError
from gr1_core.data.verification import image_topic

MAX_ROWS = 200
"""Maximum number of rows in a listing; the counts cover all bags."""

_WIDTH = 240  # pixels of a thumbnail
_QUALITY = 80
_MAX_THUMBNAILS = 500  # about 8 kB each


class EpisodeIndex:
    """Reads the bags directly below `folder`. Thread-safe. Unchanged bags are not read again."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[int, dict]] = {}
        self._thumbnails: OrderedDict[tuple[str, int], bytes | None] = OrderedDict()

    def list_episodes(self, recording: str = "") -> dict:
        """{episodes: rows {name, instruction, outcome, seconds, time, task, operator, problem}, newest first;
        counts: {task or instruction: {outcome: number}} of all bags; total: number of bags; disk: {free,
        total} in bytes}.

        time: UTC, ISO 8601. recording: the bag that is being recorded; its outcome is "recording".
        """
        with self._lock:
            rows = [dict(self._row(path)) for path in self._folders()]
        for row in rows:
            if row["name"] == recording and row["outcome"] == "unfinished":
                row |= {"outcome": "recording", "problem": ""}
        counts: dict[str, Counter] = defaultdict(Counter)
        for row in rows:
            if row["instruction"] and row["outcome"] in metadata.OUTCOMES:
                counts[row["task"] or row["instruction"]][row["outcome"]] += 1
        rows.sort(key=lambda row: (row["time"], row["name"]), reverse=True)
        sorted_counts = {task: dict(counts[task]) for task in sorted(counts)}
        return {
            "episodes": rows[:MAX_ROWS],
            "counts": sorted_counts,
            "total": len(rows),
            "disk": self._disk(),
        }

    def thumbnail(self, name: str) -> bytes | None:
        """The last image of the static camera as a small JPEG; None if there is no such bag or image.

        `name` comes from a request: it is only compared with the names of the listed folders.
        """
        folder = next((path for path in self._folders() if path.name == name), None)
        if folder is None or not (changed := _changed_ns(folder)):
            return None
        key = name, changed
        with self._lock:
            if key not in self._thumbnails:
                self._thumbnails[key] = _thumbnail(folder)
            self._thumbnails.move_to_end(key)
            while len(self._thumbnails) > _MAX_THUMBNAILS:
                self._thumbnails.popitem(last=False)
            return self._thumbnails[key]

    def _folders(self) -> list[Path]:
        try:
            return [folder for folder, _ in find_candidates(self.folder) if folder.parent == self.folder]
        except (BagError, OSError):  # the recorder has not created the folder yet
            return []

    def _row(self, folder: Path) -> dict:
        changed = _changed_ns(folder)
        known = self._rows.get(folder.name)
        if not changed or known is None or known[0] != changed:
            known = self._rows[folder.name] = changed, _row(folder)
        return known[1]

    def _disk(self) -> dict:
        there = next((path for path in (self.folder, *self.folder.absolute().parents) if path.is_dir()), None)
        usage = shutil.disk_usage(there) if there else None
        return {"free": usage.free, "total": usage.total} if usage else {"free": 0, "total": 0}


def _changed_ns(folder: Path) -> int:
    """Time of the last change of the bag's labels, ns; 0 while the bag is incomplete."""
    try:
        return (folder / metadata.METADATA_FILE).stat().st_mtime_ns
    except OSError:
        return 0


def _row(folder: Path) -> dict:
    row = {
        "name": folder.name,
        "instruction": "",
        "outcome": "unfinished",
        "seconds": 0.0,
        "task": "",
        "operator": "",
        "problem": "",
    }
    try:
        row["time"] = datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat(timespec="seconds")
        if not (folder / metadata.METADATA_FILE).is_file():
            return row | {"problem": "incomplete: `gr1 bags recover` saves what was recorded"}
        bag = Bag(folder)
    except (BagError, OSError) as error:
        return {"time": ""} | row | {"problem": str(error)}
    labels = {name: bag.labels.get(name, "") for name in ("task", "operator")}
    started = {"time": bag.labels["started"]} if bag.labels.get("started") else {}
    return (
        row
        | labels
        | started
        | {"instruction": bag.instruction, "outcome": bag.outcome, "seconds": round(bag.duration_s, 1)}
    )


def _thumbnail(folder: Path) -> bytes | None:
    try:
        bag = Bag(folder)
        topic = image_topic(bag, "static")
        message = bag.last(topic) if topic else None
        if message is None:
            return None
        image = schemas.deserialize(message.type, message.data)
        if message.type.endswith("CompressedImage"):
            array = images.decode(image.data)
        else:
            array = images.from_raw(image.encoding, image.height, image.width, image.step, image.data)
    except (BagError, SchemaError, images.ImageError, OSError):
        return None
    height = max(1, round(array.shape[0] * _WIDTH / array.shape[1]))
    return images.encode_jpeg(cv2.resize(array, (_WIDTH, height), interpolation=cv2.INTER_AREA), _QUALITY)
