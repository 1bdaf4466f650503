"""Writes an .mcap file in which any chunk may be lost and the others stay readable.

Every chunk begins with all schemas and channels, so it can be read alone. (`mcap.writer.Writer` writes
them into the first chunk only.) Chunks, the data section and the summary carry checksums.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import lz4.frame
import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from gr1_core.data.mcap_records import MAGIC

_MESSAGE = struct.Struct("<BQHIQQ")
_PACK = {"": lambda data: data, "zstd": zstandard.compress, "lz4": lz4.frame.compress}
COMPRESSIONS = {"none": "", "zstd": "zstd", "lz4": "lz4"}
"""Name of a compression -> its name in the file."""


class McapWriter:
    """Writes to an open binary file, which its owner closes. Raises OSError for errors of the disk.

    compression: a name of COMPRESSIONS. chunk_size: bytes of messages after which a chunk is written.
    """

    def __init__(self, stream: BinaryIO, chunk_size: int, compression: str, library: str):
        self._stream, self._chunk_size, self._compression = stream, chunk_size, COMPRESSIONS[compression]
        self._checksum, self._written = 0, 0
        self._schemas: list[Schema] = []
        self._channels: list[Channel] = []
        self._chunks: list[ChunkIndex] = []
        self._metadata: list[MetadataIndex] = []
        self._counts: dict[int, int] = {}
        self._span: tuple[int, int] | None = None
        self._definitions = b""
        self._begin_chunk()
        self._write(MAGIC)
        self._write_records(Header("ros2", library))

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Writes a metadata record behind the messages so far."""
        self._end_chunk()
        start = self._written
        self._write_records(Metadata(name=name, metadata=dict(values)))
        self._metadata.append(MetadataIndex(offset=start, length=self._written - start, name=name))

    def add_schema(self, name: str, encoding: str, data: bytes) -> int:
        """A new schema; returns its id."""
        self._schemas.append(Schema(id=len(self._schemas) + 1, data=data, encoding=encoding, name=name))
        return len(self._schemas)

    def add_channel(self, topic: str, encoding: str, schema_id: int, values: Mapping[str, str]) -> int:
        """A new channel; returns its id. Add it before a message of the same chunk needs it."""
        self._channels.append(
            Channel(
                id=len(self._channels) + 1,
                topic=topic,
                message_encoding=encoding,
                schema_id=schema_id,
                metadata=dict(values),
            )
        )
        self._definitions = _bytes_of(*self._schemas, *self._channels)
        return len(self._channels)

    def add_message(self, channel: int, log_time: int, data, publish_time: int, sequence: int = 0) -> None:
        """data: bytes-like."""
        size = 22 + len(data)
        self._index.setdefault(channel, []).append((log_time, self._size))
        self._parts += (
            _MESSAGE.pack(Opcode.MESSAGE, size, channel, sequence, log_time, publish_time),
            bytes(data),
        )
        self._size += 9 + size
        if self._size > self._chunk_size:
            self._end_chunk()

    def flush(self) -> None:
        """Passes all messages to the operating system."""
        self._end_chunk()
        self._stream.flush()

    def finish(self) -> None:
        """Writes the summary and the end mark."""
        self._end_chunk()
        self._write_records(DataEnd(self._checksum))
        start, groups, summary = self._written, [], b""
        for opcode, records in (
            (Opcode.SCHEMA, self._schemas),
            (Opcode.CHANNEL, self._channels),
            (Opcode.STATISTICS, [self._statistics()]),
            (Opcode.CHUNK_INDEX, self._chunks),
            (Opcode.METADATA_INDEX, self._metadata),
        ):
            data = _bytes_of(*records)
            if data:
                groups.append(SummaryOffset(opcode, start + len(summary), len(data)))
            summary += data
        offsets_at = start + len(summary)
        summary += _bytes_of(*groups)
        head = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offsets_at)
        self._write(summary)
        self._write_records(Footer(start, offsets_at, zlib.crc32(head, zlib.crc32(summary))))
        self._write(MAGIC)

    def _begin_chunk(self) -> None:
        self._parts: list[bytes] = []
        self._index: dict[int, list[tuple[int, int]]] = {}
        self._size = 0

    def _end_chunk(self) -> None:
        if not self._parts:
            return
        data = b"".join((self._definitions, *self._parts))
        index, shift = self._index, len(self._definitions)
        self._begin_chunk()
        times = [time for entries in index.values() for time, _ in entries]
        first, last = min(times), max(times)
        packed = _PACK[self._compression](data)
        start = self._written
        self._write_records(
            Chunk(
                compression=self._compression,
                data=packed,
                message_start_time=first,
                message_end_time=last,
                uncompressed_crc=zlib.crc32(data),
                uncompressed_size=len(data),
            )
        )
        end, offsets = self._written, {}
        for channel, entries in index.items():
            offsets[channel] = self._written
            moved = [(time, at + shift) for time, at in entries]
            self._write_records(MessageIndex(channel_id=channel, records=moved))
            self._counts[channel] = self._counts.get(channel, 0) + len(entries)
        self._span = (
            (first, last) if self._span is None else (min(first, self._span[0]), max(last, self._span[1]))
        )
        self._chunks.append(
            ChunkIndex(
                message_start_time=first,
                message_end_time=last,
                chunk_start_offset=start,
                chunk_length=end - start,
                message_index_offsets=offsets,
                message_index_length=self._written - end,
                compression=self._compression,
                compressed_size=len(packed),
                uncompressed_size=len(data),
            )
        )

    def _statistics(self) -> Statistics:
        first, last = self._span or (0, 0)
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=dict(self._counts),
            chunk_count=len(self._chunks),
            message_count=sum(self._counts.values()),
            metadata_count=len(self._metadata),
            message_start_time=first,
            message_end_time=last,
            schema_count=len(self._schemas),
        )

    def _write_records(self, *records) -> None:
        self._write(_bytes_of(*records))

    def _write(self, data: bytes) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._stream.write(data)
        self._written += len(data)


def _bytes_of(*records) -> bytes:
    builder = RecordBuilder()
    for record in records:
        record.write(builder)
    return builder.end()
