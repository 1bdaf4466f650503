"""Any LeRobotDataset v3.0 as a source, with embedded images or video, its features mapped to a rig's; read
without lerobot.

Embedded JPEG and PNG stay as they are; frames of a video are decoded once and stored as JPEG of quality 95. A
dataset that is faster than the rig's control rate is subsampled, its motions summed. An episode is split
where its instruction changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gr1_core import images
from gr1_core.data.convert.sources import mapping as mappings
from gr1_core.data.convert.sources.source import Episode, Skipped, SourceError, Unit, fingerprint
from gr1_core.data.convert.sources.video import MICRO, VideoError, nearest_frames, open_video
from gr1_core.rig import Rig

EPISODES_PER_UNIT = 16


@dataclass
class LeRobotSource:
    """mapping: a YAML file (see `gr1_core.data.convert.sources.mapping`); None for a dataset with this
    package's names.

    rig_name: of a built-in rig, or a YAML file; None takes the dataset's own meta/rig.yaml. Videos have no
    rig.
    """

    root: Path
    mapping: Path | None = None
    rig_name: str | None = None
    origin: str = field(default="lerobot", init=False)

    def __post_init__(self):
        self.root = Path(self.root)
        self.info = _info(self.root)
        self.features = self.info["features"]
        try:
            self.map = (
                mappings.load_mapping(self.mapping, self.features)
                if self.mapping
                else mappings.identity_mapping(self.features)
            )
        except SourceError as error:
            raise SourceError(f"{self.root}: {error}") from error
        self.kind = "demonstrations" if self.map.state else "videos"
        self.rig = _rig(self.root, self.rig_name) if self.map.state else None
        if self.rig_name and not self.rig:
            raise SourceError(
                f"{self.root}: --rig {self.rig_name} has nothing to describe: no state and action are mapped"
            )
        self.stride = self._stride()
        self.fps = self.info["fps"] // self.stride
        self.shapes = {role: self._shape(role, name) for role, name in self.map.cameras.items()}
        self.settings = {"mapping": asdict(self.map), "stride": self.stride}

    def units(self) -> list[Unit]:
        """Up to sixteen episodes of one data file each."""
        units = []
        for place, of_file in groupby(
            self._episodes, key=lambda row: (row["data/chunk_index"], row["data/file_index"])
        ):
            rows, data = list(of_file), self._data_file(*place)
            first = rows[0]["dataset_from_index"]
            for group in (
                rows[start : start + EPISODES_PER_UNIT] for start in range(0, len(rows), EPISODES_PER_UNIT)
            ):
                files = [
                    data,
                    *sorted({self._video_file(name, row) for name in self._videos for row in group}),
                ]
                here = [path for path in (*files, self.root / "meta" / "tasks.parquet") if path.is_file()]
                frames = sum(row["length"] for row in group)
                total = sum(row["length"] for row in rows)
                size = sum(path.stat().st_size for path in here) * frames // max(total, 1)
                key = f"episodes_{group[0]['episode_index']:06d}_{group[-1]['episode_index']:06d}"
                units.append(Unit(key, size, (data, first, tuple(group)), fingerprint(here)))
        return units

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        data, first, rows = unit.payload
        wanted = [
            "task_index",
            "episode_index",
            *self.map.vectors,
            *(name for name in self.map.cameras.values() if name not in self._videos),
        ]
        table = _Rows(data, wanted)
        for row in rows:
            name = f"episode_{row['episode_index']:06d}"
            start = row["dataset_from_index"] - first
            try:
                yield from self._episode(name, row, table.slice(start, row["length"]))
            except (SourceError, VideoError, images.ImageError) as error:
                yield Skipped(name, f"{data}: episode {row['episode_index']}: {error}")

    def _episode(self, name: str, row: dict, table: pa.Table) -> Iterator[Episode]:
        if set(table["episode_index"].to_pylist()) != {row["episode_index"]}:
            raise SourceError(
                "its rows are not where meta/episodes says: the dataset is damaged, download it again"
            )
        tasks = table["task_index"].to_numpy()
        bounds = [0, *(np.flatnonzero(np.diff(tasks)) + 1).tolist(), len(tasks)]
        parts = [range(start, end, self.stride) for start, end in zip(bounds, bounds[1:])]
        kept = [index for part in parts for index in part]
        encoded_frames = {
            role: self._encoded(feature, row, table, kept) for role, feature in self.map.cameras.items()
        }
        columns = {feature: _vectors(table[feature]) for feature in self.map.vectors}
        for number, part in enumerate(parts):
            task = self._tasks.get(int(tasks[part.start]), "").strip()
            if not task:
                raise SourceError(
                    f"frame {part.start} has task {tasks[part.start]}, which has no text in "
                    "meta/tasks.parquet"
                )
            state = action = None
            if self.map.state:
                of_part = {key: value[part.start : part.stop] for key, value in columns.items()}
                state, action = self.map.apply(of_part, self.rig, self.stride)
            chosen = {role: [encoded[index] for index in part] for role, encoded in encoded_frames.items()}
            info = {"source": f"{self.root.name}/{name}", "outcome": "success"}
            yield Episode(name if len(parts) == 1 else f"{name}_{number}", task, chosen, state, action, info)

    def _encoded(self, feature: str, row: dict, table: pa.Table, kept: list[int]) -> dict[int, bytes]:
        """Index -> encoded frame, for the frames `kept` of an episode."""
        shape = _height_width(self.features[feature])
        if feature in self._videos:
            return self._from_video(feature, row, shape, kept)
        found = table[feature].combine_chunks()
        found = found.field("bytes") if pa.types.is_struct(found.type) else found
        encoded = {index: found[index].as_py() for index in kept}
        for index, data in encoded.items():
            if data is None:
                raise SourceError(f"{feature}: frame {index} is not embedded in the parquet file")
            if images.size(data) != shape:
                raise SourceError(
                    f"{feature}: frame {index} is {list(images.size(data))}, meta/info.json says "
                    f"{list(shape)}"
                )
        return encoded

    def _from_video(
        self, feature: str, row: dict, shape: tuple[int, int], kept: list[int]
    ) -> dict[int, bytes]:
        path, begin, fps = (
            self._video_file(feature, row),
            row[f"videos/{feature}/from_timestamp"],
            self.info["fps"],
        )
        if not path.is_file():
            raise SourceError(f"{path} is missing: the download is not complete")
        encoded = {}
        with open_video(path) as (container, stream):
            times = [round(MICRO * (begin + index / fps)) for index in kept]
            for index, (time, frame) in zip(
                kept, nearest_frames(container, stream, times, round(MICRO / fps / 2))
            ):
                if frame is None:
                    raise SourceError(
                        f"{path}: no frame can be decoded at {time / MICRO:.2f} s: damaged or truncated"
                    )
                if (frame.height, frame.width) != shape:
                    raise SourceError(
                        f"{path}: frames are {[frame.height, frame.width]}, meta/info.json says {list(shape)}"
                    )
                encoded[index] = images.encode_jpeg(frame.to_ndarray(format="rgb24"))
        return encoded

    @cached_property
    def _videos(self) -> list[str]:
        return [name for name in self.map.cameras.values() if self.features[name]["dtype"] == "video"]

    @cached_property
    def _episodes(self) -> list[dict[str, Any]]:
        files = sorted(self.root.glob("meta/episodes/chunk-*/file-*.parquet"))
        names = ["episode_index", "length", "data/chunk_index", "data/file_index", "dataset_from_index"]
        names += [
            f"videos/{name}/{item}"
            for name in self._videos
            for item in ("chunk_index", "file_index", "from_timestamp")
        ]
        rows = [row for path in files for row in _read(path, names).to_pylist()]
        if not rows:
            raise SourceError(
                f"{self.root / 'meta' / 'episodes'}: no episode in it: an unfinished recording or download"
            )
        return sorted(rows, key=lambda row: row["episode_index"])

    @cached_property
    def _tasks(self) -> dict[int, str]:
        table = _read(self.root / "meta" / "tasks.parquet", None)
        texts = next(
            (
                name
                for name in table.column_names
                if pa.types.is_string(table[name].type) or pa.types.is_large_string(table[name].type)
            ),
            None,
        )
        if texts is None or "task_index" not in table.column_names:
            raise SourceError(
                f"{self.root / 'meta' / 'tasks.parquet'}: has {', '.join(table.column_names)}, expected "
                "task_index and texts"
            )
        return dict(zip(table["task_index"].to_pylist(), table[texts].to_pylist()))

    def _data_file(self, chunk: int, number: int) -> Path:
        return self.root / self.info["data_path"].format(chunk_index=chunk, file_index=number)

    def _video_file(self, name: str, row: dict) -> Path:
        chunk, number = (row[f"videos/{name}/{item}"] for item in ("chunk_index", "file_index"))
        return self.root / self.info["video_path"].format(
            video_key=name, chunk_index=chunk, file_index=number
        )

    def _stride(self) -> int:
        if self.rig is None:
            return 1
        fps, hz = self.info["fps"], self.rig.control_hz
        if abs(fps / hz - round(fps / hz)) > 1e-6 or fps < hz:
            raise SourceError(
                f"{self.root}: {fps} frames per second, rig '{self.rig.name}' is at {hz:g}: use a rig whose "
                f"control_hz divides {fps}"
            )
        return round(fps / hz)

    def _shape(self, role: str, name: str) -> tuple[int, int]:
        shape = _height_width(self.features[name])
        camera = self.rig and self.rig.cameras[role]
        if camera and (camera.height, camera.width) != shape:
            raise SourceError(
                f"{self.root}: {name} is {shape[1]}x{shape[0]}, rig '{self.rig.name}' has "
                f"{camera.width}x{camera.height} for "
                f"the {role} camera: write a rig YAML with cameras.{role} of that size and give it with --rig"
            )
        return shape


class _Rows:
    """Rows of a data file, read a few row groups at a time."""

    def __init__(self, path: Path, names: list[str]):
        self.path, self.names = path, names
        try:
            self.file = pq.ParquetFile(path)
        except FileNotFoundError:
            raise SourceError(f"{path} is missing: the download is not complete") from None
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path}: damaged ({error})") from error
        absent = [name for name in names if name not in self.file.schema_arrow.names]
        if absent:
            raise SourceError(
                f"{path}: has no column {', '.join(absent)}, although meta/info.json declares it"
            )
        counts = [self.file.metadata.row_group(i).num_rows for i in range(self.file.metadata.num_row_groups)]
        self.ends = np.cumsum(counts)
        self.starts = self.ends - counts
        self._held: tuple[tuple[int, ...], pa.Table] | None = None

    def slice(self, start: int, length: int) -> pa.Table:
        groups = tuple(np.flatnonzero((self.starts < start + length) & (self.ends > start)).tolist())
        if not groups or start < 0 or start + length > self.ends[-1]:
            raise SourceError(f"rows {start} to {start + length - 1} are not in it: truncated")
        if self._held is None or self._held[0] != groups:
            try:
                self._held = (groups, self.file.read_row_groups(list(groups), columns=self.names))
            except (pa.ArrowException, OSError) as error:
                raise SourceError(f"damaged ({error})") from error
        return self._held[1].slice(start - int(self.starts[groups[0]]), length)


def _info(root: Path) -> dict[str, Any]:
    path = root / "meta" / "info.json"
    if not path.is_file():
        below = sorted(
            {found.parents[1] for found in root.glob("*/meta/info.json")}
            | {found.parents[1] for found in root.glob("*/*/meta/info.json")}
        )
        hint = (
            f"did you mean {below[0]}?"
            if below
            else "expected a LeRobotDataset, whose folder has meta/, data/ and perhaps videos/"
        )
        raise SourceError(f"{root} has no meta/info.json: {hint}")
    try:
        info = json.loads(path.read_text())
        version, features = info["codebase_version"], info["features"]
        info["fps"], names = int(info["fps"]), [features[name]["dtype"] for name in features]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{path}: not the description of a LeRobotDataset ({type(error).__name__}: {error})"
        ) from error
    if version != "v3.0" or not names:
        raise SourceError(
            f"{root} is a LeRobotDataset {version}, expected v3.0: convert it with lerobot's own "
            f"`python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 --repo-id=NAME --root={root} "
            "--push-to-hub=false`"
        )
    return info


def _rig(root: Path, name: str | None) -> Rig:
    if name:
        return Rig.load(name)
    path = root / "meta" / "rig.yaml"
    if not path.is_file():
        raise SourceError(
            f"{root} has no meta/rig.yaml: give the rig of its state and action with --rig (a built-in rig "
            "or a YAML file)"
        )
    return Rig.load(path)


def _read(path: Path, names: list[str] | None) -> pa.Table:
    try:
        return pq.read_table(path, columns=names, partitioning=None)
    except FileNotFoundError:
        raise SourceError(f"{path} is missing: the download is not complete") from None
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: damaged ({error})") from error


def _vectors(column: pa.ChunkedArray) -> np.ndarray:
    """A column of lists (or plain numbers) -> f64[T, n]."""
    flat = column.combine_chunks()
    if (
        pa.types.is_list(flat.type)
        or pa.types.is_fixed_size_list(flat.type)
        or pa.types.is_large_list(flat.type)
    ):
        return np.asarray(flat.flatten(), np.float64).reshape(len(flat), -1)
    return np.asarray(flat, np.float64).reshape(len(flat), 1)


def _height_width(feature: dict) -> tuple[int, int]:
    shape, names = list(feature["shape"]), mappings.component_names(feature)
    return tuple(shape[1:]) if names[:1] in (["channels"], ["channel"]) else tuple(shape[:2])
