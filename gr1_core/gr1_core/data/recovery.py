"""Makes whole bags of unfinished ones: a recorder that was killed, a computer that lost power, a disk that was full.

What is there is read record by record up to where it was cut off, and every complete chunk goes into a new file beside it, which then
takes its place. Being killed in the middle of that loses nothing either: the next attempt begins again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mcap.records import Channel, Chunk, DataEnd, Footer, Message, Metadata, Schema
from mcap.stream_reader import StreamReader, breakup_chunk

from gr1_core import atomic_write
from gr1_core.data import metadata
from gr1_core.data.bag import DAMAGED, EMPTY, candidates
from gr1_core.data.bag_writer import CHUNK_SIZE, RECORD, Episode, complete, defaults, lock_recording
from gr1_core.data.metadata import BagError


@dataclass(frozen=True)
class Recovered:
    """What was saved of one bag. folder: where it is now; messages, seconds: what it holds; damaged: chunks that could not be read;
    torn: bytes at the end that were no complete chunk. Without messages the folder was only set aside, under a name in `.empty`."""

    folder: Path
    messages: int
    seconds: float
    damaged: int
    torn: int

    def __str__(self) -> str:
        if not self.messages:
            return f"{self.folder.name}: held no message and was set aside"
        lost = [f"{self.damaged} damaged chunks left out"] if self.damaged else []
        lost += [f"{self.torn} bytes of an incomplete chunk left out"] if self.torn else []
        return f"{self.folder.name}: {self.seconds:.1f} s with {self.messages} messages saved{''.join(f', {text}' for text in lost)}"


def unfinished(root: str | Path) -> list[Path]:
    """The folders at or below `root` that hold an .mcap but no metadata.yaml, sorted. One of them may still be recorded into."""
    return sorted(folder for folder, whole in candidates(root) if not whole)


def recover(folder: str | Path) -> Recovered | None:
    """Makes a whole bag of an unfinished one; None if it is whole already.

    Its labels are those that the file itself holds, its outcome "unfinished" unless the file says another. Raises BagError if
    another process is writing it, or where the file holds no labels (the bag is another program's).
    """
    folder = Path(folder)
    if (folder / metadata.FILE).is_file():
        return None
    files = sorted(folder.glob("*.mcap"))
    if len(files) != 1:
        raise BagError(f"{folder}: {len(files)} .mcap files, expected one: this is no bag of ours")
    try:
        with open(files[0], "rb") as stream:
            lock_recording(stream, files[0])
            return _rebuild(folder, files[0], stream)
    except OSError as error:
        raise BagError(
            f"cannot recover {folder}: {error.strerror or error}: make room, then run it again"
        ) from error


def _rebuild(folder: Path, path: Path, stream) -> Recovered:
    # The lock on the recording is held: no other process writes here.
    atomic_write.remove_partials(folder, path.name)
    source = _Recording(stream)
    messages = source.messages()
    first = next(messages, None)
    if first is None:
        return Recovered(_set_aside(folder), 0, 0.0, source.damaged, source.torn)
    labels, new = _labels(folder, source.labels), None
    try:
        with atomic_write.replacing(path) as partial:
            compression = source.compression or "none"
            new = Episode(partial, source.topics(), labels, compression, CHUNK_SIZE, source.qos())
            for message in chain([first], messages):
                topic = source.channels[message.channel_id].topic
                new.write(topic, message.data, message.log_time, message.publish_time)
            known = {"outcome": "unfinished", "seconds": f"{new.duration_ns * 1e-9:.3f}", "topics": new.summary()}
            labels = metadata.check_labels(known | labels | source.labels, metadata.REQUIRED)
            new.finish(labels)
        complete(folder, path.name, new, labels)
    finally:
        if new:
            new.close()
    count = sum(new.counts.values())
    return Recovered(folder, count, new.duration_ns * 1e-9, source.damaged, source.torn)


def _set_aside(folder: Path) -> Path:
    names = (f"{folder.name}{number}{EMPTY}" for number in ("", *(f".{count}" for count in range(2, 1000))))
    aside = next(path for name in names if not (path := folder.with_name(name)).exists())
    os.rename(folder, aside)
    return aside


def _labels(folder: Path, labels: dict[str, str]) -> dict[str, str]:
    missing = [name for name in ("instruction", "rig") if not labels.get(name)]
    if missing:
        raise BagError(
            f"{folder}: the file does not say {', '.join(missing)}: only bags that gr1 recorded can be recovered"
        )
    return defaults(folder.name) | labels


class _Recording:
    """The records of an .mcap as far as they can be read. Chunks whose checksum is wrong are counted and left out."""

    def __init__(self, stream):
        self._stream = stream
        self.channels: dict[int, Channel] = {}
        self.schemas: dict[int, Schema] = {}
        self.damaged = self.torn = 0
        self.compression = ""
        self.labels: dict[str, str] = {}

    def topics(self) -> dict[str, str]:
        return {channel.topic: self.schemas[channel.schema_id].name for channel in self.channels.values()}

    def qos(self) -> dict[str, str]:
        texts = {
            channel.topic: channel.metadata.get("offered_qos_profiles", "")
            for channel in self.channels.values()
        }
        return {topic: name for topic, text in texts.items() if (name := metadata.qos_name(text))}

    def messages(self) -> Iterator[Message]:
        """The messages in the order of the file; `labels` holds what the records up to now say."""
        size = os.fstat(self._stream.fileno()).st_size
        whole = self._stream.tell()
        try:
            for record in StreamReader(self._stream, emit_chunks=True, record_size_limit=size).records:
                whole = self._stream.tell()
                if isinstance(record, (DataEnd, Footer)):
                    return
                if isinstance(record, Chunk):
                    yield from self._chunk(record)
                elif isinstance(record, Metadata) and record.name == RECORD:
                    self.labels |= record.metadata
        except DAMAGED:
            pass  # the recording was cut off here
        self.torn = size - whole

    def _chunk(self, chunk: Chunk) -> Iterator[Message]:
        try:
            records = breakup_chunk(chunk, validate_crc=True)
        except DAMAGED:
            self.damaged += 1
            return
        self.compression = chunk.compression
        for record in records:
            if isinstance(record, Schema):
                self.schemas[record.id] = record
            elif isinstance(record, Channel):
                self.channels[record.id] = record
            elif record.channel_id in self.channels:
                yield record
