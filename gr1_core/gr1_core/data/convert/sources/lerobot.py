"""Any LeRobotDataset (v2.0, v2.1, v3.0) as a source, with embedded images or video, its features mapped to a
rig's; read without lerobot.

Embedded JPEG and PNG stay as they are; frames of a video are decoded once and stored as JPEG of quality 95. A
dataset that is faster than the rig's control rate is subsampled by its timestamps, its motions summed. An
episode is split where its instruction changes and where its timestamps have a hole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from gr1_core import images
from gr1_core.data import drivers
from gr1_core.data.convert.sources import embedded_images, grid, lerobot_rows, mapping_file, texts
from gr1_core.data.convert.sources.lerobot_layout import EpisodeRows, EpisodeVideo, Layout
from gr1_core.data.convert.sources.source import Episode, Skipped, SourceError, Unit, fingerprint
from gr1_core.data.convert.sources.video import (
    MICRO,
    NoFrame,
    VideoError,
    matched_by_number,
    nearest_frames,
    open_video,
    stereo_packing,
    view,
)
from gr1_core.hub import reference as hub
from gr1_core.rig import Rig

EPISODES_PER_UNIT = 16
_SLOWEST_HZ = 5  # of a control rate that is worth naming
_KEPT = ("outcome", "operator", "task", "seed", "started", "note")


@dataclass
class LeRobotSource:
    """mapping: a YAML file (see `gr1_core.data.convert.sources.mapping_file`); None for a dataset with this
    package's names.

    rig_name: of a built-in rig, or a YAML file; None takes the dataset's own meta/rig.yaml. Videos have no
    rig.
    """

    root: Path
    mapping: Path | None = None
    rig_name: str | None = None
    origin: str = field(default="lerobot", init=False)

    def __post_init__(self):
        self.root = hub.folder(self.root, hub.DATASET)
        self.layout = Layout(self.root)
        self.features = self.layout.features
        rig = _rig(self.root, self.rig_name)
        sizes = {role: (camera.height, camera.width) for role, camera in rig.cameras.items()} if rig else None
        try:
            self.map = (
                mapping_file.load_mapping(self.mapping, self.features, sizes)
                if self.mapping
                else mapping_file.identity_mapping(self.features)
            )
        except SourceError as error:
            raise SourceError(f"{self.root}: {error}") from error
        self.kind = "demonstrations" if self.map.state else "videos"
        if self.map.state and rig is None:
            raise SourceError(
                f"{self.root} has no meta/rig.yaml: give the rig of its state and action with --rig (a "
                "built-in "
                "rig or a YAML file)"
            )
        self.rig = rig if self.map.state else None
        if self.rig_name and not self.rig:
            raise SourceError(
                f"{self.root}: --rig {self.rig_name} has nothing to describe: no state and action are mapped"
            )
        self._require_cameras()
        self.fps = grid.output_rate(self.layout.fps, self.rig, str(self.root))
        self.shapes = {role: self._shape(role) for role in self.map.cameras}
        self.settings = {"mapping": asdict(self.map), "fps": self.layout.fps}

    def units(self) -> list[Unit]:
        """Up to sixteen episodes of the same data files each."""
        units = []
        episodes = self.layout.episodes(self._videos)
        for files, of_files in groupby(episodes, key=lambda episode: [path for path, _, _ in episode.rows]):
            group = list(of_files)
            for start in range(0, len(group), EPISODES_PER_UNIT):
                units.append(self._unit(group[start : start + EPISODES_PER_UNIT], files, group))
        return units

    def _unit(self, episodes: list[EpisodeRows], files: list[Path], of_files: list[EpisodeRows]) -> Unit:
        videos = {video.path for one in episodes for video in (one.videos or {}).values() if not video.defect}
        here = [
            path
            for path in (*dict.fromkeys(files), *sorted(videos), self.layout.tasks_file)
            if path.is_file()
        ]
        frames = sum(one.frames for one in episodes)
        total = sum(one.frames for one in of_files)
        size = sum(path.stat().st_size for path in here) * frames // max(total, 1)
        key = f"episodes_{episodes[0].number:06d}_{episodes[-1].number:06d}"
        return Unit(key, size, tuple(episodes), fingerprint(here))

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        files: dict[Path, lerobot_rows.DataFile] = {}
        for episode in unit.payload:
            try:
                if episode.defect:
                    raise SourceError(episode.defect)
                yield from self._episode(episode, self._table(episode, files))
            except (SourceError, VideoError, images.ImageError) as error:
                path = episode.rows[0][0] if episode.rows else self.root
                reason = str(error)
                if not reason.startswith(str(self.root)):
                    reason = f"{path}: episode {episode.number}: {reason}"
                yield Skipped(episode.name, reason, steps=episode.frames or episode.length)

    def _table(self, episode: EpisodeRows, files: dict[Path, lerobot_rows.DataFile]) -> pa.Table:
        embedded = [one.feature for one in self.map.cameras.values() if one.feature not in self._videos]
        wanted = list(dict.fromkeys([*self.map.vectors, *embedded, *self._driver_column]))
        tables = []
        for path, start, count in episode.rows:
            if path not in files:
                files.clear()  # one open file at a time, unless an episode lies in several
                files[path] = lerobot_rows.DataFile(path, wanted)
            tables.append(files[path].slice(start, count))
        try:
            table = tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise SourceError(f"its rows lie in files of different columns ({error})") from error
        return lerobot_rows.in_order(table)

    def _episode(self, episode: EpisodeRows, table: pa.Table) -> Iterator[Episode]:
        problems = []
        if episode.length not in (None, len(table)):
            problems.append(f"meta promises {episode.length} frames, the data files hold {len(table)}")
        times = lerobot_rows.row_times(table, self.layout.fps)
        grid.require_rate(times, self.fps, self.layout.fps)
        tasks = self._task_numbers(table, episode)
        holes = grid.holes(times, self.fps)
        if holes:
            problems.append(_holes_text(times, holes))
        bounds = sorted({0, len(table), *holes, *(np.flatnonzero(np.diff(tasks)) + 1).tolist()})
        parts = [slice(start, end) for start, end in zip(bounds, bounds[1:])]
        chosen = [part.start + grid.nearest_rows(times[part], self.fps) for part in parts]
        kept = sorted({int(index) for rows in chosen for index in rows})
        encoded = {
            role: self._encoded(role, episode, table, times, kept, problems) for role in self.map.cameras
        }
        columns = {
            name: lerobot_rows.vectors(table, name, int(np.prod(self.features[name]["shape"])))
            for name in self.map.vectors
        }
        for number, (part, rows) in enumerate(zip(parts, chosen)):
            task = self._instruction(int(tasks[part.start]), part.start, episode)
            state = action = None
            if self.map.state:
                of_part = {key: value[part] for key, value in columns.items()}
                state, action = self.map.apply(of_part, self.rig, rows - part.start, times[part])
            frames = {role: [one[int(index)] for index in rows] for role, one in encoded.items()}
            driver = None
            if self._driver_column:
                driver = lerobot_rows.numbers(table, drivers.COLUMN)[rows].astype(np.uint8)
            info = {"source": f"{self.root.name}/{episode.name}", "outcome": "success"}
            info |= self._recorded.get(episode.number, {})
            if self.map.state and self.map.action_is_state(of_part):
                info["action_is_state"] = True
            if problems:
                info["problems"] = problems
            name = episode.name if len(parts) == 1 else f"{episode.name}_{number}"
            yield Episode(name, task, frames, state, action, info, driver)

    def _task_numbers(self, table: pa.Table, episode: EpisodeRows) -> np.ndarray:
        """i64[T]: the row's task_index; without that column, -1: the only text of the episode."""
        if "task_index" in table.column_names:
            return lerobot_rows.numbers(table, "task_index").astype(np.int64)
        if len(self._only_task(episode)) != 1:
            raise SourceError(
                "has no column task_index, and the metadata does not give it one text, so its instruction "
                "is unknown"
            )
        return np.full(len(table), -1)

    def _only_task(self, episode: EpisodeRows) -> tuple:
        """The texts that the metadata gives an episode; where it lists none, those of the dataset."""
        return episode.tasks or tuple(self.layout.tasks.values())

    def _instruction(self, number: int, frame: int, episode: EpisodeRows) -> str:
        if number < 0 and self._only_task(episode):
            return texts.instruction(self._only_task(episode)[0], "its text in the metadata")
        where = f"the text of task {number} in {self.layout.tasks_file.name}"
        if number not in self.layout.tasks:
            raise SourceError(
                f"frame {frame} has task {number}, which has no text in meta/{self.layout.tasks_file.name}"
            )
        return texts.instruction(self.layout.tasks[number], where)

    def _encoded(
        self,
        role: str,
        episode: EpisodeRows,
        table: pa.Table,
        times: np.ndarray,
        kept: list[int],
        problems: list[str],
    ) -> dict[int, bytes]:
        """Index -> encoded frame, for the frames `kept` of an episode. problems: what is unusual is added."""
        camera = self.map.cameras[role]
        if camera.feature in self._videos:
            return self._from_video(role, episode.videos[camera.feature], times, kept, problems)
        column = table[camera.feature]
        found = column.combine_chunks()
        paths = None
        if pa.types.is_struct(found.type):
            names = [field.name for field in found.type]
            if "bytes" not in names:
                raise SourceError(f"{camera.feature}: its images are not embedded in the parquet file")
            paths = found.field("path") if "path" in names else None
            found = found.field("bytes")
        encoded = {}
        for index in kept:
            data = found[index].as_py()
            if data is None and paths is not None:
                data = self._image_file(paths[index].as_py())
            if not isinstance(data, bytes):
                raise SourceError(f"{camera.feature}: frame {index} is not embedded in the parquet file")
            try:
                encoded[index] = embedded_images.reencoded(data, camera)
            except (SourceError, images.ImageError) as error:
                raise SourceError(f"{camera.feature}: frame {index}: {error}") from error
            self._require_shape(role, images.size(encoded[index]), f"frame {index}")
        return encoded

    def _image_file(self, path: str | None) -> bytes | None:
        """The image that a row names instead of embedding it, if it lies in the dataset."""
        if not isinstance(path, str) or not path:
            return None
        file = (self.root / path).resolve()
        return file.read_bytes() if file.is_relative_to(self.root.resolve()) and file.is_file() else None

    def _from_video(
        self, role: str, video: EpisodeVideo, times: np.ndarray, kept: list[int], problems: list[str]
    ) -> dict[int, bytes]:
        if video.defect:
            raise SourceError(video.defect)
        path, camera = video.path, self.map.cameras[role]
        if not path.is_file():
            raise SourceError(self.layout.missing(path))
        encoded = {}
        try:
            packing = stereo_packing(path)
            at, unusual = matched_by_number(
                path, np.round(MICRO * (video.begin + times)).astype(np.int64), self.layout.fps
            )
            problems += [f"{camera.feature}: {unusual}"] * bool(unusual)
            with open_video(path) as (container, stream):
                wanted = at[kept].tolist()
                tolerance = round(MICRO / min(self.layout.fps, self.fps) / 2)
                for index, (time, frame) in zip(kept, nearest_frames(container, stream, wanted, tolerance)):
                    if isinstance(frame, NoFrame):
                        raise SourceError(f"{path}: timestamp {times[index]:g} s: {frame.reason(time)}")
                    image = camera.apply(view(frame, packing))
                    self._require_shape(role, image.shape[:2], f"frame {index} of {path}")
                    encoded[index] = images.encode_jpeg(image)
        except VideoError as error:
            raise SourceError(f"{path}: {error}") from error
        return encoded

    def _require_shape(self, role: str, shape: tuple[int, int], which: str) -> None:
        if tuple(shape) != self.shapes[role]:
            height, width = self.shapes[role]
            raise SourceError(
                f"{self.map.cameras[role].feature}: {which} is {shape[1]}x{shape[0]} as people see it, "
                "expected "
                f"{width}x{height} by meta/info.json, the mapping and the rig"
            )

    @property
    def _driver_column(self) -> list[str]:
        """The column that says who drove, of a dataset that this package has made."""
        own = self.mapping is None and self.kind == "demonstrations" and drivers.COLUMN in self.features
        return [drivers.COLUMN] if own else []

    @cached_property
    def _recorded(self) -> dict[int, dict]:
        """Episode -> its outcome and origin in a dataset that this package has made."""
        path = self.root / "meta" / "sources.jsonl"
        if not path.is_file() or self.mapping is not None:
            return {}
        try:
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            return {row["episode_index"]: {key: row[key] for key in _KEPT if key in row} for row in rows}
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{path} cannot be used ({type(error).__name__}: {error})") from error

    @cached_property
    def _videos(self) -> list[str]:
        names = [one.feature for one in self.map.cameras.values()]
        return [name for name in dict.fromkeys(names) if self.features[name]["dtype"] == "video"]

    def _require_cameras(self) -> None:
        if self.rig is None or set(self.rig.cameras) == set(self.map.cameras):
            return
        extra, absent = (
            set(self.map.cameras) - set(self.rig.cameras),
            set(self.rig.cameras) - set(self.map.cameras),
        )
        what = (
            f"cameras.{min(extra)} is mapped, "
            if extra
            else f"cameras.{min(absent)} is missing in the mapping, "
        )
        remedy = "leave it out of the mapping" if extra else "map it, or leave it out of the rig's YAML"
        has = "has no such camera" if extra else f"has the cameras {' and '.join(self.rig.cameras)}"
        raise SourceError(f"{self.root}: {what}rig '{self.rig.name}' {has}: {remedy}")

    def _shape(self, role: str) -> tuple[int, int]:
        camera_map = self.map.cameras[role]
        try:
            stored = mapping_file.height_width(self.features[camera_map.feature])
        except SourceError as error:
            raise SourceError(f"{self.root}: {camera_map.feature}: {error}") from error
        shape = camera_map.shape(stored)
        camera = self.rig and self.rig.cameras[role]
        if camera and (camera.height, camera.width) != shape:
            raise SourceError(
                f"{self.root}: {camera_map.feature} is {shape[1]}x{shape[0]}, rig '{self.rig.name}' has "
                f"{camera.width}x{camera.height} for "
                f"the {role} camera: write a rig YAML with cameras.{role} of that size and give it with "
                "--rig, "
                f"or add `resize: true` to cameras.{role} in the mapping"
            )
        return shape


def _rig(root: Path, name: str | None) -> Rig | None:
    if name:
        return Rig.load(name)
    path = root / "meta" / "rig.yaml"
    return Rig.load(path) if path.is_file() else None


def _holes_text(times: np.ndarray, holes: list[int]) -> str:
    """holes: the rows after one. A rate at which none is a hole is named if it is a usable one."""
    first = f"from {times[holes[0] - 1]:.2f} s to {times[holes[0]]:.2f} s"
    what = f"a hole {first}" if len(holes) == 1 else f"{len(holes)} holes, the first {first}"
    rate = int(1.5 / max(times[at] - times[at - 1] for at in holes))
    bridged = f"; a rig with a control_hz of {rate} bridges it" if rate >= _SLOWEST_HZ else ""
    return f"its timestamps have {what}: it is split there{bridged}"
