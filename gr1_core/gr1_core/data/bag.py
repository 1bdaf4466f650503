"""Reads bags.

A bag is one recorded episode: a folder with metadata.yaml and one .mcap (docs/reference/bags.md).
"""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import yaml
from mcap.exceptions import McapError
from zstandard import ZstdError

from gr1_core.data import metadata
from gr1_core.data.mcap_records import MAGIC, DamagedError, Piece
from gr1_core.data.mcap_scan import McapScan
from gr1_core.data.metadata import OUTCOMES, BagError
from gr1_core.rig import Rig, RigError

__all__ = ["OUTCOMES", "Bag", "BagError", "Message", "find_bags", "relabel_bag", "topic_matches"]
DAMAGE_ERRORS = (McapError, ZstdError, struct.error, ValueError, RuntimeError, EOFError, MemoryError)
"""What mcap's readers and the decompressors raise on damaged bytes."""
_ZSTD_FRAME = b"\x28\xb5\x2f\xfd"


class Message(NamedTuple):
    """One recorded message.

    log_time: received, publish_time: sent, both ns. data: CDR bytes (data/schemas.py).
    """

    topic: str
    type: str
    log_time: int
    publish_time: int
    data: memoryview


class Bag:
    """One complete episode.

    Raises BagError for a folder that is missing, unfinished, damaged or without labels.

    name, labels {name: text}, instruction, outcome, topics {name: type}, counts {name: messages}, start_ns,
    duration_s.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise BagError(f"no bag at {self.folder}: {_no_folder(self.folder)}")
        if not (self.folder / metadata.METADATA_FILE).is_file():
            raise BagError(_no_metadata(self.folder))
        self._metadata = metadata.read_metadata(self.folder)
        self.name = self.folder.name
        self.labels = dict(self._metadata.labels)
        try:
            metadata.check_labels(self.labels, metadata.REQUIRED)
        except BagError as error:
            raise BagError(
                f"{self.folder}: {error}: not a bag that gr1 recorded. {metadata.FOREIGN}"
            ) from error
        self.path = self.folder / self._metadata.file
        if mode := self._metadata.compression_mode:
            what = "the file is" if mode == "FILE" else "its messages are"
            raise BagError(
                f"{self.folder}: {what} compressed by rosbag2 (compression_mode {mode}): `gr1 bags recover "
                f"{self.folder}` decompresses it"
            )
        if self.path.is_symlink() and not self.path.exists():
            raise BagError(f"{self.path} is a link to {os.readlink(self.path)}, which does not exist")
        if not self.path.is_file():
            raise BagError(
                f"{self.folder}: {self._metadata.file} is missing: only metadata.yaml exists; copy the bag "
                "again"
            )
        self.instruction, self.outcome = self.labels["instruction"], self.labels["outcome"]
        self.topics, self.counts = dict(self._metadata.topics), dict(self._metadata.counts)
        self.start_ns, self.duration_s = self._metadata.start_ns, self._metadata.duration_ns * 1e-9

    @cached_property
    def rig(self) -> Rig:
        """The rig that the episode was recorded with."""
        try:
            return Rig.from_dict(yaml.safe_load(self.labels["rig"]), f"{self.folder}: rig")
        except yaml.YAMLError as error:
            raise RigError(f"{self.folder}: rig is not YAML: {' '.join(str(error).split())}") from error

    @property
    def closed(self) -> bool:
        """Whether the file has the end mark of a complete MCAP. `verify_bag` checks the other bytes."""
        with open(self.path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - len(MAGIC)))
            return stream.read() == MAGIC

    def topic(self, suffix: str) -> str | None:
        """The topic that ends in `suffix` ("arm/pose"), in any namespace; None if there is none or it has no
        message.
        """
        found = [name for name in self.topics if topic_matches(name, suffix) and self.counts.get(name)]
        if len(found) > 1:
            raise BagError(
                f"{self.folder}: several topics end in '{suffix}': {', '.join(found)}: record one robot per "
                "bag"
            )
        return found[0] if found else None

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[Message]:
        """The messages of all topics, or of these, in the order of reception. Verifies checksums."""
        wanted = None if topics is None else list(topics)
        if wanted is not None and (unknown := [name for name in wanted if name not in self.topics]):
            raise BagError(f"{self.folder}: no topic '{unknown[0]}', it has {', '.join(self.topics)}")
        yield from self._read(wanted)

    def last(self, topic: str) -> Message | None:
        """The topic's last message, or None. Fast: it reads from the end of the file."""
        return next(self._read([topic], backwards=True), None)

    def _read(self, topics: list[str] | None, backwards: bool = False) -> Iterator[Message]:
        with open(self.path, "rb") as stream:
            try:
                scan = McapScan(stream)
                if scan.gaps or scan.torn_at is not None:
                    at = scan.gaps[0][0] if scan.gaps else scan.torn_at
                    raise DamagedError(f"it cannot be read at byte {at}")
                yield from _in_order(scan, topics, backwards)
            except DAMAGE_ERRORS as error:
                raise BagError(
                    f"{self.path} is damaged ({error}): see `gr1 bags verify {self.folder}`"
                ) from error


def _in_order(scan: McapScan, topics: list[str] | None, backwards: bool) -> Iterator[Message]:
    """The messages by log_time, ties in the order of the file. Memory holds the chunks that overlap in
    time.
    """
    channels, sign = scan.definitions.channels, -1 if backwards else 1
    types = {number: scan.definitions.type_of(channel) for number, channel in channels.items()}

    def begin(piece: Piece) -> int:
        return -piece.last_ns if backwards else piece.first_ns

    waiting: list[tuple[int, int, Message]] = []
    order = sorted(scan.pieces, key=begin)
    for piece in order:
        if piece.damage:
            raise DamagedError(f"the chunk at byte {piece.start}: {piece.damage}")
        while waiting and waiting[0][0] < begin(piece):
            yield heapq.heappop(waiting)[2]
        for count, record in enumerate(scan.messages(piece)):
            channel = channels.get(record.channel_id)
            if channel is None:
                raise DamagedError(f"the chunk at byte {piece.start} has a message of an unknown channel")
            if topics is None or channel.topic in topics:
                message = Message(
                    channel.topic,
                    types[record.channel_id],
                    record.log_time,
                    record.publish_time,
                    record.data,
                )
                tie = piece.start * (1 << 24) + count
                heapq.heappush(waiting, (sign * record.log_time, sign * tie, message))
    while waiting:
        yield heapq.heappop(waiting)[2]


def is_compressed(data) -> bool:
    """Whether a message is a zstd frame in place of CDR bytes, which begin with a zero."""
    return bytes(data[:4]) == _ZSTD_FRAME


def topic_matches(name: str, suffix: str) -> bool:
    """Whether a topic's absolute name is `suffix` in some namespace: "/left/arm/pose" is "arm/pose"."""
    return f"/{name.lstrip('/')}".endswith(f"/{suffix.lstrip('/')}")


def find_bags(root: str | Path) -> list[Path]:
    """The folders of all complete bags at or below `root`, sorted."""
    return sorted(folder for folder, complete in find_candidates(root) if complete)


def find_candidates(root: str | Path) -> Iterator[tuple[Path, bool]]:
    """(folder, complete) of all bags at or below `root`.

    An incomplete one has an .mcap but no metadata.yaml.
    """
    if not Path(root).is_dir():
        raise BagError(f"no bags at {root}: {_no_folder(Path(root))}")
    seen: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # two links to one folder, or a link to a folder above
            below.clear()
            continue
        seen.add(real)
        complete = metadata.METADATA_FILE in files
        if complete or any(name.endswith((".mcap", ".mcap.zstd")) for name in files):
            below.clear()
            if not folder.endswith(EMPTY_SUFFIX):
                yield Path(folder), complete
        else:
            for name in files:
                path = Path(folder, name)
                if path.is_symlink() and not path.exists():
                    yield path, True  # reading it names the link
        below.sort()


DAMAGED_SUFFIX = ".damaged"
"""Ends the name of a file that recovery has replaced, because it could not read all of it."""
EMPTY_SUFFIX = ".empty"
"""Ends the name of a recording without messages, which recovery has set aside."""


def relabel_bag(folder: str | Path, **labels: str) -> Bag:
    """Changes labels (outcome, instruction, operator, note) of a complete bag.

    The recording itself stays as it is.
    """
    for name in labels:
        if name not in metadata.CHANGEABLE:
            raise BagError(
                f"label '{name}' is a fact of the recording: only {', '.join(metadata.CHANGEABLE)} can be "
                "changed"
            )
    bag = Bag(folder)
    metadata.change_labels(bag.folder, labels)
    return Bag(folder)


def _no_folder(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return f"it is a link to {os.readlink(path)}, which does not exist"
    return "it is a file: give the folder of the bag" if path.exists() else "there is no such folder"


def _no_metadata(folder: Path) -> str:
    link = folder / metadata.METADATA_FILE
    if link.is_symlink():
        return f"{link} is a link to {os.readlink(link)}, which does not exist"
    if any(folder.glob("*.mcap")):
        remedy = f"when it has ended, run `gr1 bags recover {folder.parent}`"
        return f"{folder} is unfinished: its recording still runs or was cut off; {remedy}"
    return f"{folder} is no bag: it holds neither metadata.yaml nor an .mcap file"
