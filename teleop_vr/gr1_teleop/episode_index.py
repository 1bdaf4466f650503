"""The bags of one folder for the workstation page: rows, counts per task, thumbnails, free disk space."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections import Counter, OrderedDict, defaultdict
from datetime import UTC, datetime
from pathlib import Path

import cv2

from gr1_core import images
from gr1_core.data import metadata
from gr1_core.data.bag import EMPTY_SUFFIX, Bag, BagError
from gr1_core.data.episode_view import jpeg_of
from gr1_core.data.label_scan import scan_labels
from gr1_core.data.marks import marks_of
from gr1_core.data.schemas import SchemaError
from gr1_core.data.verification import image_topic

MAX_ROWS = 3000
"""Maximum number of rows in a listing; the counts cover all bags."""

_WIDTH = 240  # pixels of a thumbnail
_QUALITY = 80
_MAX_THUMBNAILS = 500  # about 8 kB each


class EpisodeIndex:
    """Reads the bags directly below `folder`. Thread-safe. Unchanged bags are not read again."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.successes: Counter[str] = Counter()
        """Successes per instruction, as of the last listing."""
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[dict, int]] = {}
        self._thumbnails: OrderedDict[str, bytes | None] = OrderedDict()

    def list_episodes(self, recording: str = "") -> dict:
        """{episodes: rows {name, instruction, outcome, seconds, time, task, operator, problem, excluded,
        trimmed}, newest first; counts: {name: {outcome: number}} of bags that are not excluded; the name
        is the instruction, or a task that has several instructions; instructions: {text:
        number of successes};
        total: number of bags; disk: {free, total} in bytes; version: changes with any of the others but the
        disk}.

        time: UTC, ISO 8601. excluded: why, or "". trimmed: whether a part is marked as unused. recording: the
        bag that is being recorded; its outcome is "recording".
        """
        with self._lock:
            rows = [dict(self._known(path)[0]) for path in self._folders()]
        for row in rows:
            if row["name"] == recording and row["outcome"] == "unfinished":
                row |= {"outcome": "recording", "problem": ""}
        used = [row for row in rows if row["instruction"] and row["outcome"] in metadata.OUTCOMES]
        used = [row for row in used if not row["excluded"]]
        texts: dict[str, set[str]] = defaultdict(set)
        for row in used:
            texts[row["task"]].add(row["instruction"])
        counts: dict[str, Counter] = defaultdict(Counter)
        for row in used:
            several = row["task"] and len(texts[row["task"]]) > 1
            counts[row["task"] if several else row["instruction"]][row["outcome"]] += 1
        self.successes = Counter(row["instruction"] for row in used if row["outcome"] == "success")
        rows.sort(key=lambda row: (row["time"], row["name"]), reverse=True)
        listing = {
            "episodes": rows[:MAX_ROWS],
            "counts": {name: dict(counts[name]) for name in sorted(counts)},
            "instructions": dict(self.successes),
            "total": len(rows),
        }
        version = hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]
        return listing | {"disk": self._disk(), "version": version}

    def folder_of(self, name: str) -> Path | None:
        """The folder of a complete bag; None if there is none.

        `name` comes from a request: it is only compared with the names of the folders that exist.
        """
        try:
            with os.scandir(self.folder) as entries:
                known = any(entry.name == name for entry in entries)
        except OSError:
            return None
        folder = self.folder / name if known else None
        return folder if folder and _changed_ns(folder) else None

    def thumbnail(self, name: str) -> bytes | None:
        """The last image of the static camera as a small JPEG; None if there is no such bag or image."""
        folder = self.folder_of(name)
        if folder is None:
            return None
        key = name
        with self._lock:
            if key not in self._thumbnails:
                self._thumbnails[key] = _thumbnail(folder)
            self._thumbnails.move_to_end(key)
            while len(self._thumbnails) > _MAX_THUMBNAILS:
                self._thumbnails.popitem(last=False)
            return self._thumbnails[key]

    def bags(self, outcome: str) -> list[tuple[str, Path]]:
        """(key, folder) of the complete bags with this outcome that are not excluded, sorted.

        key: changes with the bag's labels.
        """
        with self._lock:
            known = [(row, path, changed) for path in self._folders() for row, changed in [self._known(path)]]
        return [
            (f"{path.name} {changed}", path)
            for row, path, changed in known
            if changed and row["outcome"] == outcome and not row["excluded"]
        ]

    def _folders(self) -> list[Path]:
        """The folders with a bag directly below, sorted. A thousand take a few hundredths of a second."""
        try:
            with os.scandir(self.folder) as entries:
                found = sorted(entry.path for entry in entries if entry.is_dir())
        except OSError:  # the recorder has not created the folder yet
            return []
        return [path for path in map(Path, found) if _is_bag(path)]

    def _known(self, folder: Path) -> tuple[dict, int]:
        """(row, time of the last change of the labels in ns, 0 while the bag is incomplete)."""
        changed = _changed_ns(folder)
        known = self._rows.get(folder.name)
        if not changed or known is None or known[1] != changed:
            known = self._rows[folder.name] = _row(folder), changed
        return known

    def _disk(self) -> dict:
        there = next((path for path in (self.folder, *self.folder.absolute().parents) if path.is_dir()), None)
        usage = shutil.disk_usage(there) if there else None
        return {"free": usage.free, "total": usage.total} if usage else {"free": 0, "total": 0}


def _is_bag(folder: Path) -> bool:
    if folder.name.endswith(EMPTY_SUFFIX):
        return False
    if (folder / metadata.METADATA_FILE).exists():
        return True
    try:
        return any(name.endswith(".mcap") for name in os.listdir(folder))
    except OSError:
        return False


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
        "excluded": "",
        "trimmed": False,
    }
    try:
        row["time"] = datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat(timespec="seconds")
        if not (folder / metadata.METADATA_FILE).is_file():
            return row | {"problem": "incomplete: `gr1 bags recover` saves what was recorded"}
        labels, seconds = _labels(folder)
        marks = marks_of(labels, folder.name)
    except (BagError, OSError) as error:
        return {"time": ""} | row | {"problem": str(error)}
    known = {name: labels.get(name, "") for name in ("task", "operator", "instruction", "outcome")}
    known |= {"time": labels["started"]} if labels.get("started") else {}
    return row | known | {"seconds": seconds, "excluded": marks.excluded, "trimmed": marks.trimmed}


def _labels(folder: Path) -> tuple[dict[str, str], float]:
    """(labels, duration in s). Raises BagError."""
    labels = scan_labels(folder)
    try:
        return labels, round(float(labels["seconds"]), 1)
    except (TypeError, KeyError, ValueError):
        bag = Bag(folder)
        return bag.labels, round(bag.duration_s, 1)


def _thumbnail(folder: Path) -> bytes | None:
    try:
        bag = Bag(folder)
        topic = image_topic(bag, "static")
        message = bag.last(topic) if topic else None
        if message is None:
            return None
        array = images.decode(jpeg_of(message.type, message.data))
    except (BagError, SchemaError, images.ImageError, OSError):
        return None
    height = max(1, round(array.shape[0] * _WIDTH / array.shape[1]))
    return images.encode_jpeg(cv2.resize(array, (_WIDTH, height), interpolation=cv2.INTER_AREA), _QUALITY)
