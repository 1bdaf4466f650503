"""Makes complete bags of unfinished and of damaged ones, e.g. after a killed recorder, a power cut, a
full disk.

Everything that mcap_scan.py can read goes into a new file, which then replaces the old one. A recovery
that is killed loses nothing: the next attempt starts again. Where messages are left out for damage, the
old file stays beside the new one, as `*.mcap.damaged`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import zstandard

from gr1_core import atomic_write
from gr1_core.data import metadata
from gr1_core.data.bag import DAMAGED_SUFFIX, EMPTY_SUFFIX, find_candidates, is_compressed
from gr1_core.data.bag_writer import (
    CHUNK_SIZE,
    LABELS_RECORD,
    RecordingFile,
    complete_bag,
    default_labels,
    lock_recording,
    unseal_labels,
)
from gr1_core.data.mcap_records import DamagedError, MessageRecord, Piece
from gr1_core.data.mcap_scan import McapScan
from gr1_core.data.metadata import BagError, Metadata
from gr1_core.plural import plural

_EMPTY_TAIL = 1 << 16  # bytes behind the labels that may be the torn beginning of a first message


@dataclass(frozen=True)
class Recovered:
    """Result of a recovery. damaged: chunks that could not be read, with `lost` messages (None: not
    known). torn: bytes at the file's end that hold no complete message. orphans: messages whose channel
    stood in a damaged chunk.

    A folder without messages is not recovered but renamed: its name then ends in `.empty`.
    """

    folder: Path
    messages: int
    seconds: float
    damaged: int = 0
    torn: int = 0
    lost: int | None = 0
    orphans: int = 0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.messages:
            return f"{self.folder.name}: held no message and was set aside"
        saved = f"{self.folder.name}: {self.seconds:.1f} s with {plural(self.messages, 'message')} saved"
        return ", ".join([saved, *self.left_out(), *self.notes])

    def left_out(self) -> list[str]:
        """What could not be saved, in words."""
        parts = []
        if self.damaged:
            count = "an unknown number of messages" if self.lost is None else plural(self.lost, "message")
            parts.append(f"{plural(self.damaged, 'damaged chunk')} left out, with {count}")
        if self.orphans:
            parts.append(
                f"{plural(self.orphans, 'message')} left out, whose channel stood in a damaged chunk"
            )
        if self.torn:
            parts.append(f"{plural(self.torn, 'byte')} of an incomplete chunk left out")
        return parts


def unfinished_bags(root: str | Path) -> list[Path]:
    """The folders at or below `root` with an .mcap but no metadata.yaml, sorted.

    A recording may still run in one of them.
    """
    return sorted(folder for folder, complete in find_candidates(root) if not complete)


def recover_bag(folder: str | Path) -> Recovered | None:
    """Makes a complete bag of an unfinished or damaged one; None if it is complete and undamaged.

    The labels are those of metadata.yaml where there is one, else those in the file; without
    metadata.yaml the outcome is "unfinished" unless the file holds another. Raises BagError if another
    process writes the file, if nothing in it can be read, or if it holds no labels (it was recorded by
    another program).
    """
    folder = Path(folder)
    try:
        path = _file_of(folder)
        with open(path, "rb") as stream:
            lock_recording(stream, path)
            # The lock on the recording is held: no other process writes here.
            atomic_write.remove_partials(folder, path.name)
            return _rebuild(folder, path, _Recording(McapScan(stream)))
    except OSError as error:
        raise BagError(
            f"cannot recover {folder}: {error.strerror or error}: make room, then run it again"
        ) from error


def _file_of(folder: Path) -> Path:
    """The folder's .mcap; one that is compressed as a whole is decompressed beside itself."""
    files = sorted(folder.glob("*.mcap"))
    packed = sorted(folder.glob("*.mcap.zstd"))
    if not files and len(packed) == 1:
        path = packed[0].with_suffix("")
        try:
            with atomic_write.replacing(path) as partial, open(packed[0], "rb") as stream:
                with open(partial, "wb") as target:
                    zstandard.ZstdDecompressor().copy_stream(stream, target)
        except zstandard.ZstdError as error:
            raise BagError(f"{packed[0]} cannot be decompressed: {error}") from error
        return path
    if len(files) != 1:
        raise BagError(
            f"{folder}: {len(files)} .mcap files, expected one: only bags that gr1 recorded can be recovered"
        )
    if not files[0].exists():
        raise BagError(f"{files[0]} is a link to {os.readlink(files[0])}, which does not exist")
    return files[0].resolve()


def _known_metadata(folder: Path, source: _Recording) -> tuple[Metadata | None, bool]:
    """(metadata.yaml, whether it is damaged)."""
    if not (folder / metadata.METADATA_FILE).is_file():
        return None, False
    try:
        known = metadata.read_metadata(folder)
        metadata.check_labels(known.labels, metadata.REQUIRED)
        return known, False
    except BagError:
        if not source.labels:
            raise
        return None, True


def _rebuild(folder: Path, path: Path, source: _Recording) -> Recovered | None:
    known, damaged_metadata = _known_metadata(folder, source)
    if known and source.matches(known, path):
        return None
    if not source.counted:
        return _without_messages(folder, source)
    labels = dict(known.labels) if known else _labels(folder, source.labels)
    new, notes = None, ()
    try:
        with atomic_write.replacing(path) as partial:
            new = RecordingFile(partial, labels, source.compression or "none", CHUNK_SIZE)
            source.copy(new)
            if source.damaged or (known and source.scan.gaps):
                aside = _free_name(path, DAMAGED_SUFFIX)
                os.link(path, aside)
                notes += (f"the damaged file stays as {aside.name}",)
            if damaged_metadata:
                aside = _free_name(folder / metadata.METADATA_FILE, DAMAGED_SUFFIX)
                notes += (
                    f"metadata.yaml was damaged and stays as {aside.name}: the labels are the recording's",
                )
            recovered = Recovered(
                folder,
                sum(new.counts.values()),
                new.duration_ns * 1e-9,
                len(source.damaged),
                source.torn,
                source.lost,
                source.orphans,
                notes,
            )
            labels = _final_labels(labels, source.labels, known, recovered, new)
            new.finish(labels)
        if damaged_metadata:
            os.replace(folder / metadata.METADATA_FILE, aside)
        complete_bag(folder, path.name, new, labels)
    finally:
        if new:
            new.close()
    return recovered


def _final_labels(labels, recorded, known: Metadata | None, recovered: Recovered, new: RecordingFile) -> dict:
    if known:
        # The person's labels stay; the figures are those of the new file.
        changed = {"seconds": f"{recovered.seconds:.3f}"}
        if parts := recovered.left_out():
            changed["note"] = "; ".join(
                filter(None, [labels.get("note", ""), f"recovered: {', '.join(parts)}"])
            )
        return metadata.check_labels({**labels, **changed}, metadata.REQUIRED)
    final = {
        "outcome": "unfinished",
        "seconds": f"{recovered.seconds:.3f}",
        "topics": new.summary(),
    }
    return metadata.check_labels(final | labels | recorded, metadata.REQUIRED)


def _without_messages(folder: Path, source: _Recording) -> Recovered:
    """Sets an empty recording aside; one that holds something unreadable is never called empty."""
    scan = source.scan
    torn = sum(end - start for start, end in scan.gaps)
    at_end = all(end == scan.size for _, end in scan.gaps)
    # Of a compressed chunk that is cut off, nothing may be readable although messages are in it.
    packed = any(piece.torn and piece.compression for piece in scan.pieces)
    unreadable = source.damaged or source.orphans or packed
    if not unreadable and (not torn or (at_end and torn < _EMPTY_TAIL)):
        return Recovered(_set_aside(folder), 0, 0.0, 0, torn)
    left = Recovered(folder, 1, 0.0, len(source.damaged), torn, source.lost, source.orphans).left_out()
    raise BagError(f"{folder}: no message can be saved: {', '.join(left)}; the file stays as it is")


def _set_aside(folder: Path) -> Path:
    aside = _free_name(folder, EMPTY_SUFFIX)
    os.rename(folder, aside)
    return aside


def _free_name(path: Path, suffix: str) -> Path:
    names = (f"{path.name}{number}{suffix}" for number in ("", *(f".{count}" for count in range(2, 1000))))
    return next(other for name in names if not (other := path.with_name(name)).exists())


def _labels(folder: Path, labels: Mapping[str, str]) -> dict[str, str]:
    missing = [name for name in ("instruction", "rig") if not labels.get(name)]
    if missing:
        raise BagError(
            f"{folder}: the file lacks the labels {', '.join(missing)}: only bags that gr1 recorded can be "
            "recovered"
        )
    return default_labels(folder.name) | labels


class _Recording:
    """What a scan found, as a recording: its readable messages, its labels, what is lost."""

    def __init__(self, scan: McapScan):
        self.scan = scan
        self.damaged = [piece for piece in scan.pieces if piece.damage]
        self.lost = _sum(piece.indexed for piece in self.damaged)
        self.compression = next(
            (piece.compression for piece in scan.pieces if not piece.damage and not piece.loose), ""
        )
        self.labels = self._read_labels()
        self.orphans = 0
        self.counts: dict[str, int] = {channel.topic: 0 for channel in scan.definitions.channels.values()}
        for message in self.messages():
            self.counts[scan.definitions.channels[message.channel_id].topic] += 1
        self.counted = sum(self.counts.values())
        # A torn chunk may have given its messages up to the cut: what is left is less than one message.
        self.torn = sum(end - start for start, end in scan.gaps if end == scan.size)

    @property
    def whole(self) -> bool:
        scan = self.scan
        return (
            not (scan.gaps or self.damaged or self.orphans)
            and scan.torn_at is None
            and scan.summary_whole
            and scan.data_checksum_right()
        )

    def messages(self) -> Iterator[MessageRecord]:
        """The readable messages in the order of the file; counts the others."""
        channels, self.orphans = self.scan.definitions.channels, 0
        for piece in self.scan.good_pieces():
            for message in _of_piece(self.scan, piece):
                if message.channel_id in channels:
                    yield message
                else:
                    self.orphans += 1

    def matches(self, known: Metadata, path: Path) -> bool:
        """Whether nothing is wrong with the bag whose metadata.yaml this is."""
        held = {name: count for name, count in self.counts.items() if count}
        promised = {name: count for name, count in known.counts.items() if count}
        described = not known.compression_mode and known.file == path.name
        return self.whole and described and held == promised

    def copy(self, new: RecordingFile) -> None:
        definitions, channels = self.scan.definitions, {}
        for number, channel in definitions.channels.items():
            qos = metadata.qos_name(channel.metadata.get("offered_qos_profiles", ""))
            channels[number] = new.add_channel(channel, definitions.schemas.get(channel.schema_id), qos)
        for message in self.messages():
            topic = definitions.channels[message.channel_id].topic
            new.write(
                channels[message.channel_id],
                topic,
                _decompressed(message.data),
                message.log_time,
                message.publish_time,
                message.sequence,
            )

    def _read_labels(self) -> dict[str, str]:
        records = [unseal_labels(values) for name, values in self.scan.metadata if name == LABELS_RECORD]
        right = [labels for labels, agrees in records if agrees] or [labels for labels, _ in records]
        merged: dict[str, str] = {}
        for labels in right:
            merged |= labels
        return merged


def _of_piece(scan: McapScan, piece: Piece) -> Iterator[MessageRecord]:
    try:
        yield from scan.messages(piece)
    except DamagedError as error:
        piece.damage = str(error)


def _decompressed(data: memoryview) -> memoryview | bytes:
    """rosbag2 can compress each message by itself."""
    if not is_compressed(data):
        return data
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except zstandard.ZstdError:
        return data


def _sum(counts) -> int | None:
    counts = list(counts)
    return None if None in counts else sum(counts)
