"""Writes bags: one folder per episode, messages as their publishers serialized them.

metadata.yaml is written last and makes the bag complete. Until then the .mcap itself holds the labels, in the
metadata record "gr1" at its beginning; recovery.py makes a complete bag of a recording that was killed.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from filelock import lock_descriptor
from mcap.writer import CompressionType, Writer

from gr1_core.data import metadata, schemas
from gr1_core.data.metadata import BagError, check_labels

COMPRESSIONS = {"none": CompressionType.NONE, "zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4}
CHUNK_SIZE = 1 << 20
LABELS_RECORD = "gr1"
"""Name of the MCAP metadata records with the labels: one at the beginning, one at the end.

The later one holds.
"""


class RecordingFile:
    """The .mcap of one episode while it is written, with counts of its messages. `BagWriter` makes the bag.

    The file is locked until it is closed, so that recovery does not touch it. Raises OSError for errors of
    the disk.
    """

    def __init__(
        self,
        path: Path,
        topics: Mapping[str, str],
        labels: Mapping[str, str],
        compression: str,
        chunk_size: int,
        qos: Mapping,
    ):
        if compression not in COMPRESSIONS:
            raise BagError(f"compression '{compression}' is not one of {', '.join(COMPRESSIONS)}")
        described = {
            name: (type, schemas.type_definition(type), schemas.type_hash(type))
            for name, type in topics.items()
        }
        profiles = {
            name: {"offered_qos_profiles": metadata.qos_text(qos[name]) if name in qos else ""}
            for name in topics
        }
        self.path, self.topics, self.qos = (
            path,
            dict(topics),
            {name: qos[name] for name in topics if name in qos},
        )
        self.counts = dict.fromkeys(topics, 0)
        self.longest = dict.fromkeys(topics, 0)
        self.start_ns = self.end_ns = 0
        self._sent: dict[str, int] = {}
        self._file = open(path, "wb")
        lock_recording(self._file, path)
        self._writer = Writer(self._file, chunk_size, COMPRESSIONS[compression], enable_data_crcs=True)
        self._writer.start("ros2", f"gr1_core {version('gr1_core')}")
        self._writer.add_metadata(LABELS_RECORD, dict(labels))
        self._file.flush()
        known: dict[str, int] = {}
        self._channels = {}
        for name, (type, text, digest) in described.items():
            if type not in known:
                known[type] = self._writer.register_schema(type, "ros2msg", text.encode())
            self._channels[name] = self._writer.register_channel(
                name, "cdr", known[type], profiles[name] | {"topic_type_hash": digest}
            )

    def write_message(self, topic: str, data, log_time: int, publish_time: int) -> None:
        channel = self._channels.get(topic)
        if channel is None:
            raise BagError(f"topic '{topic}' is not one of this bag's: {', '.join(self._channels)}")
        self._writer.add_message(channel, log_time, data, publish_time)
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
        self._writer.add_metadata(LABELS_RECORD, dict(labels))
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
        path = self.folder / f"{self.folder.name}_0.mcap"
        try:
            self._recording = RecordingFile(path, topics, self.labels, compression, chunk_size, qos or {})
        except BaseException as error:
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
