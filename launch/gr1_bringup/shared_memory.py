"""The shared memory of camera frames: room for it, and what killed nodes leave there. ROS-free.

Fast DDS makes a segment for each node in /dev/shm, and files for each port. A node that is killed leaves its
own behind. A segment is dead when no process maps it and nobody holds the lock of its `_el` file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from gr1_bringup import stack
from gr1_bringup.arguments import SettingError

FOLDER = Path("/dev/shm")
_NAME = re.compile(r"(?:sem\.)?(fastrtps_(?:port)?[0-9a-f]+)(?:_el|_mutex)?")
_YOUNG_S = 1.0
_BESIDE = 3  # gr1 up's own monitor, and what a person starts beside the stack


class Removed(NamedTuple):
    """count: of segments, with their lock files. bytes: their size."""

    count: int
    bytes: int

    def __str__(self) -> str:
        return (
            f"removed {self.count} shared memory segments of nodes that were killed "
            f"({self.bytes / 1e6:.0f} MB in {FOLDER})"
        )


def remove_dead_segments(folder: Path = FOLDER) -> Removed:
    """Removes what no process maps or locks; a file of another user stays. Young ones stay: their process may
    not have mapped them yet.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            if match := _NAME.fullmatch(file.name):
                groups[match[1]].append(file)
    mapped = _mapped(folder) if groups else set()
    count = size = 0
    for name, files in groups.items():
        if name in mapped or not all(_is_dead(file) for file in files):
            continue
        with contextlib.suppress(OSError):
            own = sum(file.stat().st_size for file in files)
            for file in files:
                file.unlink()
            count, size = count + 1, size + own
    return Removed(count, size)


def require_room(nodes: Iterable[stack.Node], environment: Mapping[str, str], folder: Path = FOLDER) -> None:
    """Raises SettingError where the segments of these nodes do not fit into the shared memory."""
    segment = _segment_size(environment.get("FASTRTPS_DEFAULT_PROFILES_FILE", ""))
    needed = segment * (sum(node.executable != "arm_node" for node in nodes) + _BESIDE)
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise SettingError(
            f"{folder}: {error.strerror}: camera frames travel through it; mount it"
        ) from error
    free, whole = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    if segment and free < needed:
        raise SettingError(
            f"{folder} is too small for camera frames: {free / 1e6:.0f} of {whole / 1e6:.0f} MB are free, "
            f"these nodes need {needed / 1e6:.0f} MB. In a container use the host's (docker run --ipc=host) "
            f"or --shm-size=512m; elsewhere `mount -o remount,size=512m {folder}`"
        )


def _segment_size(profile: str) -> int:
    """Bytes of one node's segment by this profile; 0: it uses no shared memory, or says nothing of it."""
    try:
        found = [
            int(size.text)
            for size in ElementTree.parse(profile).iter()
            if size.tag.endswith("segment_size") and size.text
        ]
    except (OSError, ElementTree.ParseError, ValueError):
        return 0
    return max(found, default=0)


def _mapped(folder: Path) -> set[str]:
    """The segments that a process maps."""
    found: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            for line in maps.read_text(errors="replace").splitlines():
                path = Path(line.partition("/")[1] + line.partition("/")[2])
                if path.parent == folder and (match := _NAME.fullmatch(path.name)):
                    found.add(match[1])
    return found


def _is_dead(file: Path) -> bool:
    """Whether nobody locks this file, and it is not of this moment."""
    try:
        if time.time() - file.stat().st_mtime < _YOUNG_S:
            return False
        descriptor = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # another user's
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
