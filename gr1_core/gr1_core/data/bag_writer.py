"""Writes bags: one folder per episode, messages as their publishers serialized them.

metadata.yaml is written last and makes the bag complete. Until then the .mcap itself holds the labels, in the
metadata records "gr1"; recovery.py makes a complete bag of a recording that was killed.
"""

from __future__ import annotations

import json
import os
import platform
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from filelock import lock_descriptor

from gr1_core.data import metadata, schemas
from gr1_core.data.mcap_records import ChannelRecord, SchemaRecord
from gr1_core.data.mcap_writing import COMPRESSIONS, McapWriter
from gr1_core.data.metadata import BagError, check_labels

CHUNK_SIZE = 1 << 20
LABELS_RECORD = "gr1"
"""Name of the MCAP metadata records with the labels: two at the beginning, one at the end.

The later one holds. Each has its own checksum, the value `crc32`.
"""
_CHECKSUM = "crc32"


def seal_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The content of a metadata record: the labels and their checksum."""
    return {**labels, _CHECKSUM: _checksum(labels)}


def unseal_labels(values: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """(labels, whether they agree with their checksum) of a metadata record; one without checksum counts as
    right.
    """
    labels = {name: text for name, text in values.items() if name != _CHECKSUM}
    return labels, values.get(_CHECKSUM, _checksum(labels)) == _checksum(labels)


def _checksum(labels: Mapping[str, str]) -> str:
    return f"{zlib.crc32(json.dumps(dict(labels), sort_keys=True).encode()):08x}"


class RecordingFile:
    """The .mcap of one episode while it is written, with counts of its messages. `BagWriter` makes the bag.

    The file is locked until it is closed, so that recovery does not touch it. Raises OSError for errors of
    the disk.
    """

    def __init__(self, path: Path, labels: Mapping[str, str], compression: str, chunk_size: int):
        if compression not in COMPRESSIONS:
            raise BagError(f"compression '{compression}' is not one of {', '.join(COMPRESSIONS)}")
        self.path = path
        self.topics: dict[str, str] = {}
        self.qos: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.longest: dict[str, int] = {}
        self.start_ns = self.end_ns = 0
        self._sent: dict[str, int] = {}
        self._types: dict[tuple[str, str, bytes], int] = {}
        self._channels: dict[str, int] = {}
        self._file = open(path, "wb")
        lock_recording(self._file, path)
        self._writer = McapWriter(self._file, chunk_size, compression, f"gr1_core {version('gr1_core')}")
        for _ in range(2):  # one damaged byte must not cost the labels
            self._writer.add_metadata(LABELS_RECORD, seal_labels(labels))
        self._file.flush()

    def add_topic(self, name: str, type: str, qos: str = "") -> None:
        """A topic with one of ROS 2's own message types. qos: "" or a profile's name."""
        values = {"offered_qos_profiles": metadata.qos_text(qos) if qos else ""}
        schema = SchemaRecord(0, type, "ros2msg", schemas.type_definition(type).encode())
        values["topic_type_hash"] = schemas.type_hash(type)
        self._channels[name] = self.add_channel(ChannelRecord(0, 0, name, "cdr", values), schema, qos)

    def add_channel(self, channel: ChannelRecord, schema: SchemaRecord | None, qos: str = "") -> int:
        """A channel as another recording has it, with any message type; returns its id in this file."""
        schema_id = 0
        if schema:
            key = schema.name, schema.encoding, schema.data
            if key not in self._types:
                self._types[key] = self._writer.add_schema(*key)
            schema_id = self._types[key]
        topic = channel.topic
        self.topics[topic] = schema.name if schema else ""
        if qos:
            self.qos[topic] = qos
        self.counts.setdefault(topic, 0)
        self.longest.setdefault(topic, 0)
        return self._writer.add_channel(topic, channel.encoding, schema_id, channel.metadata)

    def write_message(self, topic: str, data, log_time: int, publish_time: int) -> None:
        channel = self._channels.get(topic)
        if channel is None:
            raise BagError(f"topic '{topic}' is not one of this bag's: {', '.join(self._channels)}")
        self.write(channel, topic, data, log_time, publish_time)

    def write(
        self, channel: int, topic: str, data, log_time: int, publish_time: int, sequence: int = 0
    ) -> None:
        """As `write_message`, on a channel that `add_channel` has made."""
        self._writer.add_message(channel, log_time, data, publish_time, sequence)
        self.start_ns = min(self.start_ns, log_time) if self._sent else log_time
        self.end_ns = max(self.end_ns, log_time)
        self.counts[topic] += 1
        last = self._sent.get(topic)
        if last is not None and publish_time - last > self.longest[topic]:
            self.longest[topic] = publish_time - last
        self._sent[topic] = publish_time

    def flush(self) -> None:
        self._writer.flush()

    def finish(self, labels: Mapping[str, str]) -> None:
        """Writes the index and the end mark and syncs the file to disk."""
        self._writer.flush()
        self._writer.add_metadata(LABELS_RECORD, seal_labels(labels))
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes and unlocks the file in its present state."""
        try:
            self._file.close()
        except OSError:
            pass  # a full disk refused the buffered rest; the file is closed nevertheless

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns

    def summary(self) -> str:
        """The label `topics` of a recording without counts of sent messages: expected = received."""
        return json.dumps(
            {
                name: {
                    "type": type,
                    "expected": self.counts[name],
                    "received": self.counts[name],
                    "gaps": 0,
                    "longest_gap_ms": round(self.longest[name] * 1e-6, 3),
                }
                for name, type in self.topics.items()
            }
        )


class BagWriter:
    """Writes one episode into the new folder `folder`; use it from one thread.

    topics: absolute name -> type ("sensor_msgs/msg/Image"). labels: at least `instruction` and `rig` (the
    rig's YAML text). qos: topic -> "best_effort", "reliable" or "transient_local", for `ros2 bag play`.
    Raises BagError for invalid labels, types and folders, and when the disk is full or fails; flushed
    messages are kept, and `gr1 bags recover` makes a bag of them.
    """

    def __init__(
        self,
        folder: Path,
        topics: Mapping[str, str],
        labels: Mapping[str, str],
        compression: str = "none",
        chunk_size: int = CHUNK_SIZE,
        qos: Mapping[str, str] | None = None,
    ):
        self.folder = Path(folder)
        self.labels = check_labels(
            {**default_labels(self.folder.name), **labels}, required=("instruction", "rig")
        )
        self._ended: str | None = None
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise BagError(f"{self.folder} exists already: give the episode another name") from None
        except OSError as error:
            raise BagError(f"cannot make the folder {self.folder}: {error.strerror or error}") from error
        path, recording = self.folder / f"{self.folder.name}_0.mcap", None
        try:
            recording = RecordingFile(path, self.labels, compression, chunk_size)
            for name, type in topics.items():
                recording.add_topic(name, type, (qos or {}).get(name, ""))
            self._recording = recording
        except BaseException as error:
            if recording:
                recording.close()
            path.unlink(missing_ok=True)
            self.folder.rmdir()
            if isinstance(error, OSError):
                raise BagError(f"cannot write {path}: {error.strerror or error}") from error
            raise

    def write_message(self, topic: str, data, log_time: int, publish_time: int) -> None:
        """Writes one message, CDR bytes. log_time: received, publish_time: sent by its publisher, both ns."""
        self._guard(self._recording.write_message, topic, data, log_time, publish_time)

    def flush(self) -> None:
        """Passes all buffered messages to the operating system, so that a SIGKILL does not lose them."""
        self._guard(self._recording.flush)

    def close(self, labels: Mapping[str, str] | None = None) -> Path:
        """Completes the bag.

        labels: those known only at the end (outcome, topics, ...). Returns its folder.
        """
        recording = self._recording
        known = {
            "seconds": f"{recording.duration_ns * 1e-9:.3f}",
            "topics": recording.summary(),
            "outcome": "unfinished",
        }
        final = check_labels({**known, **self.labels, **(labels or {})}, required=metadata.REQUIRED)
        self._guard(recording.finish, final)
        self._guard(complete_bag, self.folder, recording.path.name, recording, final)
        self._ended = f"{self.folder} is closed"
        recording.close()
        return self.folder

    def abandon(self) -> None:
        """Closes the file without completing the bag, like a killed recording."""
        if not self._ended:
            self._ended = f"{self.folder} was abandoned"
            self._recording.close()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, *_) -> None:
        self.abandon()

    def _guard(self, action, *arguments) -> None:
        if self._ended:
            raise BagError(self._ended)
        try:
            action(*arguments)
        except OSError as error:
            self._ended = (
                f"cannot write {self._recording.path}: {error.strerror or error}. Messages written before "
                "are kept: "
                f"make room, then run `gr1 bags recover {self.folder.parent}`"
            )
            self._recording.close()
            raise BagError(self._ended) from error


def complete_bag(folder: Path, file: str, recording: RecordingFile, labels: Mapping[str, str]) -> None:
    """Writes metadata.yaml beside a finished .mcap, which completes the bag."""
    metadata.write_metadata(
        folder,
        metadata.Metadata(
            file=file,
            topics=recording.topics,
            counts=recording.counts,
            start_ns=recording.start_ns,
            duration_ns=recording.duration_ns,
            labels=labels,
            qos=recording.qos,
        ),
    )


def default_labels(name: str) -> dict[str, str]:
    """Labels that every bag has without being given."""
    installed = {"python": platform.python_version(), "mcap": version("mcap")}
    return {
        "gr1_version": version("gr1_core"),
        "episode": name,
        "operator": "",
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "versions": json.dumps(installed),
        "task": "",
        "seed": "",
        "note": "",
    }


def lock_recording(stream, path: Path) -> None:
    """Locks an open file for this process until it is closed.

    Raises BagError if another one writes or recovers it.
    """
    if not lock_descriptor(stream.fileno(), blocking=False):
        raise BagError(f"{path} is being written by another process: wait until that recording has ended")
