"""Writes a LeRobotDataset v3.0 with embedded images, without lerobot (layout: docs/reference/datasets.md).

The same episodes in the same order give the same bytes. Memory holds one episode, and about 100 bytes per
frame.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gr1_core.data import drivers, stats
from gr1_core.data.convert.sources.source import Episode
from gr1_core.rig import Rig

VERSION = 1
FILE_BYTES = 100_000_000
STATE_NAMES = ("x", "y", "z", "rx", "ry", "rz", "gripper")
ACTION_NAMES = ("dx", "dy", "dz", "drx", "dry", "drz", "gripper")
_FILES_PER_CHUNK = 1000
_EPISODES_PER_GROUP = 1000
_IMAGES_PER_BATCH = 64  # an Arrow array of bytes holds at most 2 GB
_COUNTERS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
_DATA, _EPISODES = "{}/chunk-{:03d}/file-{:03d}.parquet", "meta/episodes"


class DatasetWriter:
    """See the module. `close` completes the dataset; without it there is no meta/info.json.

    root: a folder without a dataset. fps: whole frames per second. shapes: role -> (height, width). rig: None
    for videos, whose episodes have no state and action. meta: goes into meta/gr1.json, with "version",
    "episodes" and "frames" added.
    """

    def __init__(
        self,
        root: Path,
        fps: int,
        shapes: Mapping[str, tuple[int, int]],
        rig: Rig | None,
        meta: Mapping[str, Any],
    ):
        self.root, self.fps, self.rig, self.meta = Path(root), fps, rig, dict(meta)
        self.features = _features(shapes, rig is not None)
        self.frames = self.episodes = 0
        self.tasks: dict[str, int] = {}
        (self.root / _EPISODES).mkdir(parents=True)
        schema = _schema(self.features)
        self._data = _ParquetSequence(self.root, "data", schema, list(_COUNTERS))
        self._episodes: _ParquetSequence | None = None
        self._rows: list[dict] = []
        self._total = stats.StatisticsTotal()
        self._sources = open(self.root / "meta" / "sources.jsonl", "w")

    def add_episode(self, episode: Episode, image_statistics: Mapping[str, Mapping] | None = None) -> None:
        """Writes one episode. image_statistics: role -> `stats.image_statistics`, if already known."""
        length = len(next(iter(episode.images.values())))
        columns = self._columns(episode, length)
        self._data.write_rows(
            pa.table(
                [_column(columns[field.name], field.type) for field in self._data.schema], self._data.schema
            )
        )
        known = {_image_key(role): value for role, value in (image_statistics or {}).items()}
        images = {_image_key(role): encoded for role, encoded in episode.images.items()}
        found = {
            key: known.get(key) or stats.image_statistics(images[key])
            if key in images
            else stats.value_statistics(columns[key])
            for key in self.features
        }
        self._total.add(found)
        row = {"episode_index": self.episodes, "tasks": [episode.task], "length": length}
        row |= {"data/chunk_index": self._data.chunk, "data/file_index": self._data.file}
        row |= {"dataset_from_index": self.frames, "dataset_to_index": self.frames + length}
        row |= {
            f"stats/{key}/{name}": value for key, values in found.items() for name, value in values.items()
        }
        self._rows.append(row)
        if len(self._rows) == _EPISODES_PER_GROUP:
            self._flush_rows()
        line = {"episode_index": self.episodes, "name": episode.name, **episode.info}
        self._sources.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.frames += length
        self.episodes += 1

    def close(self) -> None:
        """Writes the rest of meta/; meta/info.json and meta/sha256sums come last."""
        self._flush_rows()
        digests = self._data.close() | (self._episodes.close() if self._episodes else {})
        self._sources.close()
        meta = self.root / "meta"
        _write_tasks(meta / "tasks.parquet", self.tasks)
        if self.rig:
            self.rig.save(meta / "rig.yaml")
        _write_json(meta / "stats.json", self._total.values())
        _write_json(
            meta / "gr1.json",
            {"version": VERSION, **self.meta, "episodes": self.episodes, "frames": self.frames},
        )
        _write_json(meta / "info.json", self._info())
        _write_checksums(self.root, digests)

    def _columns(self, episode: Episode, length: int) -> dict[str, Any]:
        task = self.tasks.setdefault(episode.task, len(self.tasks))
        step = np.arange(length)
        columns = {_image_key(role): encoded for role, encoded in episode.images.items()}
        if self.rig:
            driver = np.zeros(length) if episode.driver is None else episode.driver
            columns |= {"observation.state": episode.state, "action": episode.action}
            columns[drivers.COLUMN] = np.asarray(driver, np.int64)
        return columns | {
            "timestamp": (step / self.fps).astype(np.float32),
            "frame_index": step,
            "episode_index": np.full(length, self.episodes),
            "index": self.frames + step,
            "task_index": np.full(length, task),
        }

    def _flush_rows(self) -> None:
        if not self._rows:
            return
        if self._episodes is None:
            self._episodes = _ParquetSequence(self.root, _EPISODES, _episodes_schema(self._rows[0]), False)
        self._episodes.roll(0)
        place = {
            "meta/episodes/chunk_index": self._episodes.chunk,
            "meta/episodes/file_index": self._episodes.file,
        }
        self._episodes.write_rows(
            pa.Table.from_pylist([row | place for row in self._rows], self._episodes.schema)
        )
        self._rows = []

    def _info(self) -> dict:
        return {
            "codebase_version": "v3.0",
            "robot_type": self.rig.name if self.rig else None,
            "total_episodes": self.episodes,
            "total_frames": self.frames,
            "total_tasks": len(self.tasks),
            "chunks_size": _FILES_PER_CHUNK,
            "data_files_size_in_mb": FILE_BYTES // 1_000_000,
            "video_files_size_in_mb": 200,
            "fps": self.fps,
            "splits": {"train": f"0:{self.episodes}"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": None,
            "features": self.features,
        }


class _ParquetSequence:
    """A sequence of Parquet files. Each `write_rows` is one row group in one file.

    No compression and no dictionaries, so that a reader can memory-map the bytes of an image.
    """

    def __init__(self, root: Path, folder: str, schema: pa.Schema, statistics: list[str] | bool):
        self.schema, self._root, self._folder, self._statistics = schema, root, folder, statistics
        self._number, self._writer, self._file, self._bytes = -1, None, None, 0
        self._digests: dict[str, str] = {}

    @property
    def chunk(self) -> int:
        return self._number // _FILES_PER_CHUNK

    @property
    def file(self) -> int:
        return self._number % _FILES_PER_CHUNK

    def write_rows(self, table: pa.Table) -> None:
        self.roll(table.nbytes)
        self._writer.write_table(table, row_group_size=len(table))
        self._bytes += table.nbytes

    def roll(self, size: int) -> None:
        """Opens the next file unless `size` bytes still fit into this one."""
        if self._writer and self._bytes + size <= FILE_BYTES:
            return
        self.close()
        self._number, self._bytes = self._number + 1, 0
        path = self._root / self._name()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _HashedFile(path)
        self._writer = pq.ParquetWriter(
            self._file,
            self.schema,
            compression="NONE",
            use_dictionary=False,
            write_statistics=self._statistics,
        )

    def close(self) -> dict[str, str]:
        """Finishes the current file. Returns path -> SHA-256 of all files."""
        if self._writer:
            self._writer.close()
            self._writer = None
            self._digests[self._name()] = self._file.end()
        return self._digests

    def _name(self) -> str:
        return _DATA.format(self._folder, self.chunk, self.file)


class _HashedFile(io.RawIOBase):
    """A file whose SHA-256 is computed while it is written, so that it is not read again."""

    def __init__(self, path: Path):
        self._file, self._digest = open(path, "wb"), hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self._digest.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def end(self) -> str:
        """The digest; the file is on the disk then."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()


def binary_column(encoded: Sequence[bytes]) -> pa.ChunkedArray:
    """Encoded images as an Arrow column; an Arrow column (from a part) stays as it is."""
    if isinstance(encoded, pa.ChunkedArray):
        return encoded
    batches = [
        encoded[start : start + _IMAGES_PER_BATCH] for start in range(0, len(encoded), _IMAGES_PER_BATCH)
    ]
    return pa.chunked_array([pa.array(batch, pa.binary()) for batch in batches], pa.binary())


def _write_checksums(root: Path, known: Mapping[str, str]) -> None:
    """Writes meta/sha256sums over all files of the dataset, for `sha256sum -c`. Syncs every file to disk."""
    lines = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = str(path.relative_to(root))
        lines.append(f"{known.get(name) or _digest(path)}  {name}\n")
    (root / "meta" / "sha256sums").write_text("".join(lines))


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _image_key(role: str) -> str:
    return f"observation.images.{role}"


def _features(shapes: Mapping[str, tuple[int, int]], robot: bool) -> dict[str, dict]:
    features = {
        _image_key(role): {
            "dtype": "image",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
        }
        for role, (height, width) in shapes.items()
    }
    if robot:
        features["observation.state"] = {
            "dtype": "float32",
            "shape": [len(STATE_NAMES)],
            "names": list(STATE_NAMES),
        }
        features["action"] = {"dtype": "float32", "shape": [len(ACTION_NAMES)], "names": list(ACTION_NAMES)}
        features[drivers.COLUMN] = {"dtype": "int64", "shape": [1], "names": None}
    return features | {
        name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in _COUNTERS.items()
    }


def _schema(features: Mapping[str, dict]) -> pa.Schema:
    fields, described = [], {}
    for key, feature in features.items():
        if feature["dtype"] == "image":
            kind, described[key] = pa.struct({"bytes": pa.binary(), "path": pa.string()}), {"_type": "Image"}
        else:
            kind, described[key] = (
                pa.type_for_alias(feature["dtype"]),
                {"dtype": feature["dtype"], "_type": "Value"},
            )
            if feature["names"]:
                length = feature["shape"][0]
                kind, described[key] = (
                    pa.list_(kind, length),
                    {"feature": described[key], "length": length, "_type": "List"},
                )
        fields.append(pa.field(key, kind))
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": described}})})


def _column(values, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_struct(kind):
        chunks = [
            pa.StructArray.from_arrays([chunk, pa.nulls(len(chunk), pa.string())], fields=list(kind))
            for chunk in binary_column(values).chunks
        ]
        return pa.chunked_array(chunks, kind)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(values, np.float32).ravel()), type=kind
        )
    return pa.array(values, kind)


def _episodes_schema(row: Mapping[str, Any]) -> pa.Schema:
    """int64 for numbers; statistics are lists of doubles, of counts int64, nested for images."""
    fields = []
    for name, value in row.items():
        kind = (
            pa.int64()
            if name.endswith("/count") or not isinstance(value, list)
            else pa.string()
            if name == "tasks"
            else pa.float64()
        )
        while isinstance(value, list):
            kind, value = pa.list_(kind), value[0]
        fields.append(pa.field(name, kind))
    return pa.schema(
        [
            *fields,
            pa.field("meta/episodes/chunk_index", pa.int64()),
            pa.field("meta/episodes/file_index", pa.int64()),
        ]
    )


def _write_tasks(path: Path, tasks: Mapping[str, int]) -> None:
    """A pandas table whose index is the text: lerobot looks texts up by the index, which only pandas'
    metadata declares.
    """
    columns = [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {
            "name": None,
            "field_name": "__index_level_0__",
            "pandas_type": "unicode",
            "numpy_type": "object",
            "metadata": None,
        },
    ]
    pandas = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [],
        "columns": columns,
        "creator": {"library": "pyarrow"},
    }
    schema = pa.schema(
        {"task_index": pa.int64(), "__index_level_0__": pa.string()},
        {"pandas": json.dumps(pandas | {"pandas_version": "2.0.0"})},
    )
    pq.write_table(
        pa.table([pa.array(tasks.values(), pa.int64()), pa.array(tasks, pa.string())], schema), path
    )


def _write_json(path: Path, value: Mapping) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
