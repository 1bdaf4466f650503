"""Bags of other stacks as a source: any rosbag2 (mcap or sqlite3, split, zstd) or a single .mcap, .db3 or
.bag
file, its topics mapped to a rig's cameras, state and action.

Each topic is a feature of the mapping: an image topic a camera, any other one a vector whose components are
the
numbers of its message, by name: `pose.position.x`, `position.<joint>` for joint states. All times are those
at
which the messages were recorded, one clock for all streams. A step has the newest message of each stream; the
longest part is kept in which no camera and no state is older than the rig's max_age.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from gr1_core import images, lfs
from gr1_core.data.command_timeline import true_spans
from gr1_core.data.convert.sources import embedded_images, grid, mapping_file, message_values, texts
from gr1_core.data.convert.sources.source import (
    Episode,
    Skipped,
    SourceError,
    Unit,
    fingerprint,
    safe_key,
)
from gr1_core.images import ImageError
from gr1_core.rig import Rig

SUFFIXES = (".mcap", ".db3", ".bag")
IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


@dataclass
class RosbagSource:
    """One episode per bag below `root`, or the bag `root` itself.

    mapping: a YAML file (see `mapping_file`) with topics as features, and the instruction: `instruction:
    TEXT`
    or `instruction_topic: TOPIC` of std_msgs/String. images: "keep" stores compressed images as recorded and
    raw ones as PNG, "jpeg" raw ones as JPEG, "png" all as PNG.
    """

    root: Path
    mapping: Path
    rig: Rig
    images: str = "keep"
    kind: str = field(default="demonstrations", init=False)
    origin: str = field(default="rosbag", init=False)

    def __post_init__(self):
        self.root = Path(self.root)
        self._bags = find_bags(self.root)
        if not self._bags:
            raise SourceError(f"no bag below {self.root}: expected folders with metadata.yaml, or {SUFFIXES}")
        features = self._first_features()
        sizes = {role: (camera.height, camera.width) for role, camera in self.rig.cameras.items()}
        self.map = mapping_file.load_mapping(
            self.mapping, features, sizes, ("instruction", "instruction_topic")
        )
        if self.map.state is None:
            raise SourceError(f"mapping {self.mapping}: a bag needs state and action")
        self.text, self.text_topic = _instruction(self.mapping)
        self.fps = grid.output_rate(self.rig.control_hz, self.rig, str(self.root))
        if set(self.map.cameras) != set(self.rig.cameras):
            raise SourceError(
                f"mapping {self.mapping}: maps the cameras {', '.join(self.map.cameras)}, rig "
                f"'{self.rig.name}' "
                f"has {', '.join(self.rig.cameras)}"
            )
        self.shapes = {role: sizes[role] for role in self.map.cameras}
        self.names = {topic: tuple(features[topic]["names"]) for topic in self.map.vectors}
        self.settings = {
            "mapping": asdict(self.map),
            "images": self.images,
            "instruction": self.text or self.text_topic,
            "names": self.names,
        }

    def units(self) -> list[Unit]:
        units = []
        for path in self._bags:
            files = bag_files(path)
            name = path.name if path == self.root else "_".join(path.relative_to(self.root).parts)
            size = sum(one.stat().st_size for one in files)
            units.append(Unit(safe_key(name), size, (path, name), fingerprint(files)))
        return units

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        path, name = unit.payload
        with open_bag(path) as reader:
            try:
                yield self._episode(reader, name)
            except (SourceError, ImageError) as error:
                raise SourceError(f"{name}: {error}") from error

    def _first_features(self) -> dict[str, dict]:
        """The features of the first bag that can be read."""
        defects = []
        for path in self._bags:
            try:
                with open_bag(path) as reader:
                    return features_of(reader)
            except SourceError as error:
                defects.append(str(error))
        raise SourceError(f"no bag below {self.root} can be read, the first: {defects[0]}")

    def _episode(self, reader: AnyReader, name: str) -> Episode:
        cameras = {one.feature for one in self.map.cameras.values()}
        times, vectors, text = self._read(reader, cameras)
        missing = [topic for topic, sent in times.items() if not len(sent)]
        if missing:
            raise SourceError(f"no message on {', '.join(sorted(missing))}")
        period = self.rig.period
        begin, end = max(sent[0] for sent in times.values()), min(sent[-1] for sent in times.values())
        steps = begin + np.round(1e9 * period * np.arange(int((end - begin) / (1e9 * period)) + 1)).astype(
            int
        )
        newest = {topic: newest_at(sent, steps) for topic, sent in times.items()}
        keep, problems = self._valid(times, newest, steps)
        columns = {
            topic: np.array(vectors[topic], np.float64)[
                self._rows(topic, times[topic], newest[topic], steps)
            ][keep]
            for topic in self.map.vectors
        }
        state, action = self.map.apply(columns, self.rig)
        frames = self._frames(reader, {topic: newest[topic][keep] for topic in cameras})
        seconds = (steps[keep][-1] - steps[keep][0]) * 1e-9
        info: dict[str, Any] = {"source": name, "outcome": "success", "recorded_steps": len(steps)}
        info |= {"seconds": round(float(seconds), 3)}
        if problems:
            info["problems"] = problems
        if self.map.action_is_state(columns):
            info["action_is_state"] = True
        return Episode(name, texts.instruction(text, "its instruction"), frames, state, action, info)

    def _rows(self, topic: str, sent: np.ndarray, newest: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The message of each step: the newest; of a target the one that is in force at the step's end, of a
        motion that in its middle.
        """
        if topic in {name for part in self.map.state.values() for name in part.features}:
            return newest
        share = 0.5 if self.map.kind == "delta" else 1.0
        return newest_at(sent, steps + int(share * 1e9 * self.rig.period) - 1)

    def _valid(self, times, newest, steps) -> tuple[slice, list[str]]:
        ages = {one.feature: self.rig.cameras[role].max_age for role, one in self.map.cameras.items()}
        ages |= {name: self.rig.state.max_age for part in self.map.state.values() for name in part.features}
        good, problems = {}, []
        for topic, limit in ages.items():
            good[topic] = steps - times[topic][newest[topic]] <= limit * 1e9
            if not good[topic].all():
                share = (~good[topic]).sum()
                problems.append(f"{topic} older than {1e3 * limit:.0f} ms in {share} of {len(steps)} steps")
        spans = true_spans(np.logical_and.reduce(list(good.values())))
        if not spans:
            raise SourceError(f"none of its {len(steps)} steps can be used: {'; '.join(problems)}")
        start, stop = max(spans, key=lambda span: span[1] - span[0])
        if stop - start < len(steps):
            problems.append(f"cut to its longest part without a gap: {stop - start} of {len(steps)} steps")
        return slice(start, stop), problems

    def _read(self, reader: AnyReader, cameras: set[str]):
        """Times i64 ns of each mapped topic, the vectors' values, and the instruction."""
        wanted = {*self.map.vectors, *cameras}
        absent = sorted(wanted - {one.topic for one in reader.connections})
        if absent:
            raise SourceError(f"has no topic {', '.join(absent)}")
        times, vectors, text = (
            {topic: [] for topic in wanted},
            {topic: [] for topic in self.map.vectors},
            self.text,
        )
        for topic, time, type, data in messages(reader, {*wanted, self.text_topic}):
            if topic == self.text_topic:
                text = text or getattr(deserialized(reader, data, type, topic), "data", None)
                continue
            times[topic].append(time)
            if topic in vectors:
                values = message_values.named(deserialized(reader, data, type, topic))
                lacking = [name for name in self.names[topic] if name not in values]
                if lacking:
                    raise SourceError(f"{topic}: message {len(times[topic]) - 1} has no {lacking[0]}")
                vectors[topic].append([values[name] for name in self.names[topic]])
        order = {topic: np.argsort(sent, kind="stable") for topic, sent in times.items()}
        vectors = {topic: [rows[i] for i in order[topic]] for topic, rows in vectors.items()}
        for topic in cameras:
            if (np.diff(times[topic]) < 0).any():
                raise SourceError(f"{topic}: its messages are not in the order of their times")
        return {topic: np.array(sent, np.int64)[order[topic]] for topic, sent in times.items()}, vectors, text

    def _frames(self, reader: AnyReader, chosen: dict[str, np.ndarray]) -> dict[str, list[bytes]]:
        """Role -> the encoded image of each step. chosen: topic -> numbers of its messages."""
        roles = {one.feature: role for role, one in self.map.cameras.items()}
        encoded: dict[str, dict[int, bytes]] = {topic: {} for topic in chosen}
        wanted = {topic: deque(sorted(set(numbers.tolist()))) for topic, numbers in chosen.items()}
        count = dict.fromkeys(chosen, -1)
        for topic, _, type, data in messages(reader, set(chosen)):
            count[topic] += 1
            if wanted[topic] and wanted[topic][0] == count[topic]:
                wanted[topic].popleft()
                encoded[topic][count[topic]] = self._encode(
                    roles[topic], deserialized(reader, data, type, topic)
                )
        return {
            roles[topic]: [encoded[topic][n] for n in numbers.tolist()] for topic, numbers in chosen.items()
        }

    def _encode(self, role: str, message) -> bytes:
        camera = self.map.cameras[role]
        if hasattr(message, "encoding"):
            raw = images.from_raw(message.encoding, message.height, message.width, message.step, message.data)
            image = camera.apply(raw)
            data = images.encode_jpeg(image) if self.images == "jpeg" else images.encode_png(image)
        else:
            data = embedded_images.reencoded(bytes(message.data), camera)
            data = images.encode_png(images.decode(data)) if self.images == "png" else data
        found = images.size(data)
        if tuple(found) != self.shapes[role]:
            height, width = self.shapes[role]
            raise SourceError(
                f"{camera.feature}: images are {found[1]}x{found[0]}, rig '{self.rig.name}' has "
                f"{width}x{height} for "
                f"the {role} camera: set that size in the rig, or crop and `resize: true` in the mapping"
            )
        return data


def find_bags(root: Path) -> list[Path]:
    """Bag folders (with metadata.yaml) below root or root itself, and bag files outside of such folders."""
    if root.is_file():
        return [root]
    folders = {path.parent for path in root.rglob("metadata.yaml")}
    files = [path for path in root.rglob("*") if path.suffix in SUFFIXES and path.parent not in folders]
    return sorted([*folders, *files])


def bag_files(path: Path) -> list[Path]:
    """The files of a bag."""
    return [path] if path.is_file() else sorted(one for one in path.iterdir() if one.is_file())


@contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """A bag opened for reading. Raises SourceError that names it and the defect."""
    pointers = [one for one in bag_files(path) if lfs.is_pointer(one)]
    if pointers:
        raise SourceError(f"{pointers[0]} {lfs.REMEDY}")
    reader = None
    try:
        reader = AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY))
        reader.open()
    except Exception as error:  # rosbags raises anything on damaged files
        raise SourceError(
            f"{path}: cannot be read as a bag ({type(error).__name__}: {_short(error)}); a bag that lost "
            "its end "
            "may be repaired with `ros2 bag reindex` or `mcap recover`"
        ) from error
    try:
        yield reader
    finally:
        reader.close()


def messages(reader: AnyReader, topics: set[str | None]) -> Iterator[tuple[str, int, str, bytes]]:
    """topic, time of recording in ns, type, bytes. Raises SourceError for a damaged file."""
    connections = [one for one in reader.connections if one.topic in topics]
    found = reader.messages(connections) if connections else iter(())
    while True:
        try:
            connection, time, data = next(found)
        except StopIteration:
            return
        except Exception as error:  # rosbags raises anything on damaged files
            raise SourceError(f"damaged ({type(error).__name__}: {_short(error)})") from error
        yield connection.topic, time, connection.msgtype, data


def deserialized(reader: AnyReader, data: bytes, type: str, topic: str):
    """The message object. Raises SourceError."""
    try:
        return reader.deserialize(data, type)
    except Exception as error:  # rosbags' generated code raises anything on damaged bytes
        raise SourceError(f"{topic}: {len(data)} bytes are no valid {type} ({_short(error)})") from error


def features_of(reader: AnyReader) -> dict[str, dict]:
    """Topic -> dtype, shape and names, as in a LeRobotDataset's info.json, by its first message."""
    features: dict[str, dict] = {}
    for topic, _, type, data in messages(reader, {one.topic for one in reader.connections}):
        if topic in features:
            if len(features) == len({one.topic for one in reader.connections}):
                break
            continue
        try:
            message = deserialized(reader, data, type, topic)
            if type in IMAGE_TYPES:
                is_raw = type == IMAGE_TYPES[0]
                size = (message.height, message.width) if is_raw else images.size(bytes(message.data))
                features[topic] = {"dtype": "image", "shape": [*map(int, size), 3], "names": None}
            else:
                names = list(message_values.named(message))
                features[topic] = {"dtype": "float64", "shape": [len(names)], "names": names}
        except (SourceError, ImageError):
            features[topic] = {"dtype": "unreadable", "shape": [0], "names": []}
    return features


def newest_at(sent: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The newest message sent by each time; the first where there is none."""
    return np.maximum(np.searchsorted(sent, times, "right") - 1, 0)


def _instruction(path: Path) -> tuple[str, str | None]:
    content = yaml.safe_load(path.read_text())
    text, topic = content.get("instruction", ""), content.get("instruction_topic")
    if bool(text) == bool(topic):
        raise SourceError(
            f"mapping {path}: a bag has no instruction of its own: give one of `instruction: TEXT` and "
            "`instruction_topic: TOPIC` (std_msgs/String)"
        )
    if text:
        text = texts.instruction(text, f"mapping {path}: instruction")
    return text, topic


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()).replace(os.getcwd() + "/", "")
    return text if len(text) <= 160 else f"{text[:160]} ..."
