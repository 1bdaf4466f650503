"""Parses single MCAP records by their offsets in a buffer, so that no length in a damaged file asks for
memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

MAGIC = b"\x89MCAP0\r\n"
"""At both ends of every complete MCAP file."""
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX = range(1, 8)
CHUNK_INDEX, ATTACHMENT, ATTACHMENT_INDEX, STATISTICS, METADATA, METADATA_INDEX = range(8, 14)
SUMMARY_OFFSET, DATA_END = 14, 15


class DamagedError(ValueError):
    """Bytes that are not what the format says."""


class SchemaRecord(NamedTuple):
    id: int
    name: str
    encoding: str
    data: bytes


class ChannelRecord(NamedTuple):
    id: int
    schema_id: int
    topic: str
    encoding: str
    metadata: dict[str, str]


class MessageRecord(NamedTuple):
    channel_id: int
    sequence: int
    log_time: int
    publish_time: int
    data: memoryview


@dataclass
class Piece:
    """A chunk, or a run of messages outside of chunks: bytes start .. end of the file, data_start .. data_end
    without the chunk's own header.

    count: its messages, times first_ns .. last_ns. torn: the chunk is cut off. indexed: messages that the
    index behind a chunk names, None without one. damage: what is wrong with it, "" for a good one.
    """

    start: int
    end: int
    data_start: int
    data_end: int
    compression: str = ""
    size: int = 0
    checksum: int = 0
    first_ns: int = 0
    last_ns: int = 0
    loose: bool = False
    torn: bool = False
    count: int = 0
    indexed: int | None = None
    damage: str = ""


@dataclass
class Definitions:
    """Channels and schemas by their id. The most trustworthy definition of an id holds: that of a chunk
    before that of the index at the end, that before one with no checksum around it.
    """

    schemas: dict[int, SchemaRecord] = field(default_factory=dict)
    channels: dict[int, ChannelRecord] = field(default_factory=dict)
    _ranks: dict[tuple[str, int], int] = field(default_factory=dict)

    def add(self, record: SchemaRecord | ChannelRecord, rank: int) -> None:
        kind, known = (
            ("schema", self.schemas) if isinstance(record, SchemaRecord) else ("channel", self.channels)
        )
        if rank < self._ranks.get((kind, record.id), 99):
            known[record.id] = record
            self._ranks[kind, record.id] = rank

    def type_of(self, channel: ChannelRecord) -> str:
        """Name of the channel's message type; "" for a channel without schema."""
        schema = self.schemas.get(channel.schema_id)
        return schema.name if schema else ""


def records_in(view: memoryview, torn: bool = False) -> Iterator[tuple[int, int, int, memoryview]]:
    """(opcode, offset of the body, its length, view) of each record. Raises DamagedError; a torn view
    just ends.
    """
    at, size = 0, len(view)
    while at < size:
        if at + 9 > size:
            if torn:
                return
            raise DamagedError("its last record is cut off")
        opcode, length = view[at], int.from_bytes(view[at + 1 : at + 9], "little")
        if at + 9 + length > size or (torn and opcode not in (SCHEMA, CHANNEL, MESSAGE)):
            if torn:
                return
            raise DamagedError("a record in it is longer than the chunk")
        yield opcode, at + 9, length, view
        at += 9 + length


def read_text(view: memoryview, at: int, end: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("<I", view, at)
    if at + 4 + size > end:
        raise DamagedError("a text that is longer than its record")
    return str(view[at + 4 : at + 4 + size], "utf-8"), at + 4 + size


def read_texts(view: memoryview, at: int, length: int, count: int) -> list[str]:
    end, found = at + length, []
    for _ in range(count):
        text, at = read_text(view, at, end)
        found.append(text)
    if at != end:
        raise DamagedError("a record of another length")
    return found


def _read_mapping(view: memoryview, at: int, end: int) -> tuple[dict[str, str], int]:
    (size,) = struct.unpack_from("<I", view, at)
    at, stop, found = at + 4, at + 4 + size, {}
    if stop > end:
        raise DamagedError("a table that is longer than its record")
    while at < stop:
        key, at = read_text(view, at, stop)
        found[key], at = read_text(view, at, stop)
    return found, at


def read_schema(view: memoryview, at: int, length: int) -> SchemaRecord:
    end, (number,) = at + length, struct.unpack_from("<H", view, at)
    name, at = read_text(view, at + 2, end)
    encoding, at = read_text(view, at, end)
    (size,) = struct.unpack_from("<I", view, at)
    if at + 4 + size != end or not number:
        raise DamagedError("a schema of another length")
    return SchemaRecord(number, name, encoding, bytes(view[at + 4 : end]))


def read_channel(view: memoryview, at: int, length: int) -> ChannelRecord:
    end, (number, schema) = at + length, struct.unpack_from("<HH", view, at)
    topic, at = read_text(view, at + 4, end)
    encoding, at = read_text(view, at, end)
    values, at = _read_mapping(view, at, end)
    if at != end or not topic:
        raise DamagedError("a channel of another length")
    return ChannelRecord(number, schema, topic, encoding, values)


def read_metadata_record(view: memoryview, at: int, length: int) -> tuple[str, dict[str, str]]:
    end = at + length
    name, at = read_text(view, at, end)
    values, at = _read_mapping(view, at, end)
    if at != end:
        raise DamagedError("a metadata record of another length")
    return name, values


def read_message(view: memoryview, at: int, length: int) -> MessageRecord:
    if length < 22:
        raise DamagedError(f"a message of {length} bytes")
    channel, sequence, log_time, publish_time = struct.unpack_from("<HIQQ", view, at)
    return MessageRecord(channel, sequence, log_time, publish_time, view[at + 22 : at + length])
