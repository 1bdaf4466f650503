"""Recorded episodes for the desk's player: curves, events and single frames. Thread-safe."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from gr1_core.data import metadata
from gr1_core.data.bag import Bag
from gr1_core.data.episode_view import episode_view, frame_at
from gr1_teleop.episode_index import EpisodeIndex

_MAX_VIEWS = 32
_ROLES = ("static", "wrist")


class EpisodePlayer:
    """Keeps the last views and opened bags, so that scrubbing does not read the labels again and again."""

    def __init__(self, index: EpisodeIndex):
        self._index, self._lock = index, threading.Lock()
        self._views: OrderedDict[tuple[str, int], dict] = OrderedDict()
        self._opened: tuple[tuple[str, int], Bag] | None = None

    def view(self, name: str) -> dict | None:
        """See `episode_view`; None for an unknown name. Raises BagError."""
        folder = self._index.folder_of(name)
        if folder is None:
            return None
        key = _key(folder)
        with self._lock:
            if key in self._views:
                self._views.move_to_end(key)
                return self._views[key]
        view = episode_view(Bag(folder))
        with self._lock:
            self._views[key] = view
            while len(self._views) > _MAX_VIEWS:
                self._views.popitem(last=False)
        return view

    def frame(self, name: str, role: str, seconds: float) -> bytes | None:
        """The JPEG of a camera at this time, s from the beginning; None if there is none. Raises BagError."""
        folder = self._index.folder_of(name)
        if folder is None or role not in _ROLES:
            return None
        with self._lock:
            if self._opened is None or self._opened[0] != _key(folder):
                self._opened = _key(folder), Bag(folder)
            bag = self._opened[1]
        return frame_at(bag, role, seconds)


def _key(folder: Path) -> tuple[str, int]:
    return folder.name, (folder / metadata.METADATA_FILE).stat().st_mtime_ns
