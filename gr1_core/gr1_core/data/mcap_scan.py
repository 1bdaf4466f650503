"""Finds what can be read in an .mcap file, whole or damaged: chunks, messages, channels, labels, damaged
ranges.

Records are followed from the beginning. Where one is damaged, reading goes on at the next record that proves
itself: a chunk with a right checksum, an index of messages, a metadata record. So the loss is the chunk that
was hit. A checksum of 0 means "not computed" (MCAP specification). Records are parsed by their offsets in a
memory map, so that no length in a damaged file can ask for memory.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from functools import cached_property

import lz4.frame
import zstandard

from gr1_core.data.mcap_records import (
    ATTACHMENT,
    ATTACHMENT_INDEX,
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    HEADER,
    MAGIC,
    MESSAGE,
    MESSAGE_INDEX,
    METADATA,
    METADATA_INDEX,
    SCHEMA,
    STATISTICS,
    SUMMARY_OFFSET,
    DamagedError,
    Definitions,
    MessageRecord,
    Piece,
    read_channel,
    read_message,
    read_metadata_record,
    read_schema,
    read_text,
    read_texts,
    records_in,
)

_OF_SUMMARY = (CHUNK_INDEX, ATTACHMENT_INDEX, STATISTICS, METADATA_INDEX, SUMMARY_OFFSET)
_FOOTER_SIZE = 9 + 20 + len(MAGIC)
_COMPRESSIONS = (b"", b"zstd", b"lz4")
_CANDIDATE = re.compile(rb"[\x04-\x07\x0c\x0f](?=(?s:.{5})\x00\x00\x00)")  # opcode, length below 2^40
_RUN = 1 << 20  # bytes of messages outside of chunks that are read at a time
_CHAIN = 3  # records in a row that prove a message outside of a chunk


_RANK_CHUNK, _RANK_SUMMARY, _RANK_PLAIN, _RANK_DOUBTFUL = range(4)


class McapScan:
    """The structure of an open .mcap file. `pieces` in the order of the file; `gaps`: damaged ranges
    (start, end); `metadata`: (name, values); `torn_at`: where a cut-off file stops being readable, None
    for a complete one.
    """

    def __init__(self, stream):
        self.size = stream.seek(0, 2)
        self.data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if self.size else b""
        self.view = memoryview(self.data)
        self.definitions = Definitions()
        self.pieces: list[Piece] = []
        self.gaps: list[tuple[int, int]] = []
        self.metadata: list[tuple[str, dict[str, str]]] = []
        self.attachments = 0
        self.data_end: tuple[int, int] | None = None
        self.torn_at: int | None = None
        self._footer = self._read_footer()
        self._walk()

    # What was found

    @property
    def closed(self) -> bool:
        """Whether the file has its end mark."""
        return self.size >= 2 * len(MAGIC) and self.view[self.size - len(MAGIC) :] == MAGIC

    @property
    def summary_whole(self) -> bool:
        """Whether the index at the end agrees with its checksum; a file without checksum counts as whole."""
        return self._footer is not None and self._footer[2]

    def data_checksum_right(self) -> bool:
        """Whether the bytes before the end of the messages agree with their checksum. Reads them all."""
        if self.data_end is None:
            return False
        at, checksum = self.data_end
        return checksum == 0 or zlib.crc32(self.view[:at]) == checksum

    def good_pieces(self) -> list[Piece]:
        return [piece for piece in self.pieces if not piece.damage]

    def messages(self, piece: Piece) -> list[MessageRecord]:
        """The messages of a piece, in the order of the file. Raises DamagedError; of a torn one it
        returns the first ones.
        """
        return [
            read_message(view, body, length)
            for opcode, body, length, view in self._inner(piece)
            if opcode == MESSAGE
        ]

    # Following the records

    def _walk(self) -> None:
        position = len(MAGIC) if self.view[: len(MAGIC)] == MAGIC else 0
        if not position and self.size:
            self.gaps.append((0, min(len(MAGIC), self.size)))
            position = min(len(MAGIC), self.size)
        run: Piece | None = None
        while position < self.size:
            if position == self.size - len(MAGIC) and self.closed:
                break
            end = self._record(position, run)
            if end is None:
                torn = self._torn_chunk(position)
                end = self.size if torn else self._resume(position + 1)
                if torn:
                    self._add_chunk(torn)
                self.gaps.append((position, end))
                if end == self.size:
                    self.torn_at = position
            last = self.pieces[-1] if self.pieces else None
            run = last if last and last.loose and last.end == end and end - last.start < _RUN else None
            position = end
        if self.torn_at is None and not (self.closed and self.data_end):
            self.torn_at = self.size

    def _record(self, at: int, run: Piece | None) -> int | None:
        """Takes in the record at this offset; returns its end, None if it is no record."""
        if at + 9 > self.size:
            return None
        opcode, length = self.view[at], int.from_bytes(self.view[at + 1 : at + 9], "little")
        body, end = at + 9, at + 9 + length
        if end <= self.size:
            try:
                taken = self._take(opcode, at, body, length, run)
            except (struct.error, UnicodeDecodeError, DamagedError, IndexError):
                taken = False
            if taken:
                return end
        # A chunk whose opcode is damaged is still a chunk.
        piece = self._chunk_at(at) if opcode != CHUNK else None
        if piece and self._check(piece):
            self._add_chunk(piece)
            return piece.end
        return None

    def _take(self, opcode: int, at: int, body: int, length: int, run: Piece | None) -> bool:
        if opcode == CHUNK:
            piece = self._chunk_at(at)
            if piece is None:
                return False
            self._check(piece)
            self._add_chunk(piece)
        elif opcode == MESSAGE:
            if length < 22:
                return False
            message = read_message(self.view, body, length)
            if message.channel_id not in self.definitions.channels:
                return False
            self._add_loose(at, body + length, message, run)
        elif opcode in (SCHEMA, CHANNEL):
            record = (read_schema if opcode == SCHEMA else read_channel)(self.view, body, length)
            after_end = self.data_end is not None
            rank = (_RANK_SUMMARY if self.summary_whole else _RANK_DOUBTFUL) if after_end else _RANK_PLAIN
            self.definitions.add(record, rank)
        elif opcode == MESSAGE_INDEX:
            (size,) = struct.unpack_from("<I", self.view, body + 2)
            if size % 16 or length != 6 + size:
                return False
            if self.pieces and not self.pieces[-1].loose:
                self.pieces[-1].indexed = (self.pieces[-1].indexed or 0) + size // 16
        elif opcode == METADATA:
            self.metadata.append(read_metadata_record(self.view, body, length))
        elif opcode == DATA_END:
            if length != 4:
                return False
            self.data_end = at, struct.unpack_from("<I", self.view, body)[0]
        elif opcode == FOOTER:
            return length == 20
        elif opcode == HEADER:
            read_texts(self.view, body, length, 2)
        elif opcode == ATTACHMENT:
            self._attachment(body, length)
        elif opcode in _OF_SUMMARY:
            return self.data_end is not None
        else:  # the format lets programs add records of their own, from 128 on
            return opcode >= 0x80 and self._chunk_at(at) is None
        return True

    def _resume(self, at: int) -> int:
        """The next offset with a record that proves itself; the file's end if there is none."""
        for match in _CANDIDATE.finditer(self.data, at):
            start = match.start()
            if self._proves_itself(start):
                return start
        return self.size

    def _proves_itself(self, at: int) -> bool:
        opcode, length = self.data[at], int.from_bytes(self.view[at + 1 : at + 9], "little")
        body, end = at + 9, at + 9 + length
        if end > self.size:
            return False
        try:
            if opcode == CHUNK:
                piece = self._chunk_at(at)
                return piece is not None and self._check(piece)
            if opcode == MESSAGE_INDEX:
                (size,) = struct.unpack_from("<I", self.view, body + 2)
                return size > 0 and size % 16 == 0 and length == 6 + size and self._follows(end)
            if opcode == METADATA:
                return bool(read_metadata_record(self.view, body, length)[1]) and self._follows(end)
            if opcode == DATA_END:
                return length == 4 and self._follows(end) and self.size - end < 1 << 24
            return not self._chunked and self._chain(at)
        except (struct.error, UnicodeDecodeError, DamagedError, IndexError):
            return False

    def _follows(self, at: int) -> bool:
        return at >= self.size or self.data[at] in range(HEADER, DATA_END + 1) or self.data[at] == MAGIC[0]

    def _chain(self, at: int) -> bool:
        """Whether a message, schema or channel and further such records stand here, in a file without
        chunks.
        """
        for _ in range(_CHAIN):
            if at + 9 > self.size or self.data[at] not in (SCHEMA, CHANNEL, MESSAGE, DATA_END):
                return False
            opcode, length = self.data[at], int.from_bytes(self.view[at + 1 : at + 9], "little")
            if at + 9 + length > self.size:
                return False
            if opcode == MESSAGE:
                if length < 22 or read_message(self.view, at + 9, length).channel_id not in (
                    self.definitions.channels
                ):
                    return False
            elif opcode == DATA_END:
                return length == 4
            else:
                (read_schema if opcode == SCHEMA else read_channel)(self.view, at + 9, length)
            at += 9 + length
        return True

    # Chunks

    def _chunk_at(self, at: int, whole: bool = True) -> Piece | None:
        """The chunk at this offset if its header agrees with itself. whole: it must not be cut off."""
        if at + 9 + 40 > self.size:
            return None
        length = int.from_bytes(self.view[at + 1 : at + 9], "little")
        first, last, size, checksum, letters = struct.unpack_from("<QQQII", self.view, at + 9)
        name = bytes(self.view[at + 41 : at + 41 + letters]) if letters <= 4 else b"?"
        records_at = at + 41 + letters
        if name not in _COMPRESSIONS or records_at + 8 > self.size:
            return None
        (stored,) = struct.unpack_from("<Q", self.view, records_at)
        if length != 32 + letters + 8 + stored or (not name and size != stored):
            return None
        start, end = records_at + 8, records_at + 8 + stored
        if end > self.size and whole:
            return None
        torn = end > self.size
        return Piece(
            at, min(end, self.size), start, min(end, self.size), name.decode(), size, checksum, first, last,
            torn=torn,
        )  # fmt: skip

    def _torn_chunk(self, at: int) -> Piece | None:
        """The beginning of a chunk that the end of the file cuts off."""
        if self.view[at] != CHUNK:
            return None
        piece = self._chunk_at(at, whole=False)
        return piece if piece and piece.torn else None

    @cached_property
    def _chunked(self) -> bool:
        """Whether the file holds its messages in chunks."""
        return any(
            self.data[match.start()] == CHUNK and self._chunk_at(match.start(), whole=False) is not None
            for match in _CANDIDATE.finditer(self.data)
        )

    def _check(self, piece: Piece) -> bool:
        try:
            data = self._unpacked(piece)
            if piece.checksum and zlib.crc32(data) != piece.checksum:
                raise DamagedError("its checksum is wrong")
            if not piece.checksum:
                for _ in records_in(data):
                    pass
        except (DamagedError, struct.error) as error:
            piece.damage = str(error)
            return False
        return True

    def _add_chunk(self, piece: Piece) -> None:
        self.pieces.append(piece)
        if piece.damage:
            return
        times = []
        for opcode, body, length, view in self._inner(piece):
            if opcode == MESSAGE and length >= 22:
                times.append(int.from_bytes(view[body + 6 : body + 14], "little"))
            if opcode in (SCHEMA, CHANNEL):
                try:
                    record = (read_schema if opcode == SCHEMA else read_channel)(view, body, length)
                except (struct.error, UnicodeDecodeError, DamagedError):
                    continue  # its messages are then of an unknown channel, which is counted
                known = piece.checksum and not piece.torn
                self.definitions.add(record, _RANK_CHUNK if known else _RANK_PLAIN)
        piece.count = len(times)
        if times:  # the chunk's header has no checksum
            piece.first_ns, piece.last_ns = min(times), max(times)

    def _add_loose(self, at: int, end: int, message: MessageRecord, run: Piece | None) -> None:
        if run is None:
            run = Piece(at, end, at, end, first_ns=message.log_time, last_ns=message.log_time, loose=True)
            self.pieces.append(run)
        run.end = run.data_end = end
        run.count += 1
        run.first_ns, run.last_ns = min(run.first_ns, message.log_time), max(run.last_ns, message.log_time)

    def _unpacked(self, piece: Piece) -> memoryview | bytes:
        """The chunk's records. Raises DamagedError."""
        packed = self.view[piece.data_start : piece.data_end]
        try:
            if piece.compression == "zstd":
                decoder = zstandard.ZstdDecompressor().decompressobj()
            elif piece.compression == "lz4":
                decoder = lz4.frame.LZ4FrameDecompressor()
            else:
                return packed
            data = decoder.decompress(packed)
        except (zstandard.ZstdError, RuntimeError, ValueError, EOFError, MemoryError) as error:
            raise DamagedError(f"it cannot be decompressed: {error}") from error
        if not piece.torn and len(data) != piece.size:
            raise DamagedError(f"it holds {len(data)} bytes, its header says {piece.size}")
        return data

    def _inner(self, piece: Piece) -> Iterator[tuple[int, int, int, memoryview]]:
        view = memoryview(self._unpacked(piece))
        try:
            yield from records_in(view, piece.torn)
        except struct.error as error:
            raise DamagedError(str(error)) from error

    # Parts of other records

    def _attachment(self, body: int, length: int) -> None:
        at, end = body + 16, body + length
        for _ in range(2):
            _, at = read_text(self.view, at, end)
        (size,) = struct.unpack_from("<Q", self.view, at)
        if at + 8 + size + 4 != end:
            raise DamagedError("an attachment of another length")
        self.attachments += 1

    def _read_footer(self) -> tuple[int, int, bool] | None:
        """(start of the summary, its checksum, whether it is right); None without an end mark."""
        if not self.closed or self.size < _FOOTER_SIZE + len(MAGIC):
            return None
        at = self.size - _FOOTER_SIZE
        opcode, length, start, _, checksum = struct.unpack_from("<BQQQI", self.view, at)
        if (opcode, length) != (FOOTER, 20) or start > at:
            return None
        right = checksum == 0 or zlib.crc32(self.view[start or at : at + 25]) == checksum
        return start, checksum, right
