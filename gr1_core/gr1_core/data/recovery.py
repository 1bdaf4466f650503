"""Makes complete bags of unfinished ones, e.g. after a killed recorder, a power cut or a full disk.

The file is read record by record up to where it was cut off. Every complete chunk goes into a new file, which
then replaces the old one. A recovery that is killed loses nothing: the next attempt starts again.
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
from gr1_core.data.bag import DAMAGE_ERRORS, EMPTY_SUFFIX, find_candidates
from gr1_core.data.bag_writer import (
    CHUNK_SIZE,
    LABELS_RECORD,
    RecordingFile,
    complete_bag,
    default_labels,
    lock_recording,
)
from gr1_core.data.metadata import BagError


@dataclass(frozen=True)
class Recovered:
    """Result of a recovery. damaged: number of chunks that could not be read. torn: bytes of an incomplete
    chunk at the end.

    A folder without messages is not recovered but renamed: its name then ends in `.empty`.
    """

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
        saved = f"{self.folder.name}: {self.seconds:.1f} s with {self.messages} messages saved"
        return ", ".join([saved, *lost])


def unfinished_bags(root: str | Path) -> list[Path]:
    """The folders at or below `root` with an .mcap but no metadata.yaml, sorted.

    A recording may still run in one of them.
    """
    return sorted(folder for folder, complete in find_candidates(root) if not complete)


def recover_bag(folder: str | Path) -> Recovered | None:
    """Makes a complete bag of an unfinished one; None if it is complete already.

    The labels are those in the file; the outcome is "unfinished" unless the file holds another. Raises
    BagError if another process writes the file, or if it holds no labels (it was recorded by another
    program).
    """
    folder = Path(folder)
    if (folder / metadata.METADATA_FILE).is_file():
        return None
    files = sorted(folder.glob("*.mcap"))
    if len(files) != 1:
        raise BagError(
            f"{folder}: {len(files)} .mcap files, expected one: only bags that gr1 recorded can be recovered"
        )
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
            new = RecordingFile(partial, source.topics(), labels, compression, CHUNK_SIZE, source.qos())
            for message in chain([first], messages):
                topic = source.channels[message.channel_id].topic
                new.write_message(topic, message.data, message.log_time, message.publish_time)
            known = {
                "outcome": "unfinished",
                "seconds": f"{new.duration_ns * 1e-9:.3f}",
                "topics": new.summary(),
            }
            labels = metadata.check_labels(known | labels | source.labels, metadata.REQUIRED)
            new.finish(labels)
        complete_bag(folder, path.name, new, labels)
    finally:
        if new:
            new.close()
    count = sum(new.counts.values())
    return Recovered(folder, count, new.duration_ns * 1e-9, source.damaged, source.torn)


def _set_aside(folder: Path) -> Path:
    names = (
        f"{folder.name}{number}{EMPTY_SUFFIX}" for number in ("", *(f".{count}" for count in range(2, 1000)))
    )
    aside = next(path for name in names if not (path := folder.with_name(name)).exists())
    os.rename(folder, aside)
    return aside


def _labels(folder: Path, labels: dict[str, str]) -> dict[str, str]:
    missing = [name for name in ("instruction", "rig") if not labels.get(name)]
    if missing:
        raise BagError(
            f"{folder}: the file lacks the labels {', '.join(missing)}: only bags that gr1 recorded can be "
            "recovered"
        )
    return default_labels(folder.name) | labels


class _Recording:
    """The readable records of an .mcap. Chunks with a wrong checksum are counted and left out."""

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
                elif isinstance(record, Metadata) and record.name == LABELS_RECORD:
                    self.labels |= record.metadata
        except DAMAGE_ERRORS:
            pass  # the recording was cut off here
        self.torn = size - whole

    def _chunk(self, chunk: Chunk) -> Iterator[Message]:
        try:
            records = breakup_chunk(chunk, validate_crc=True)
        except DAMAGE_ERRORS:
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
