"""A dataset opened for training: LeRobotDataset v3.0 with embedded images (dtype "image"), read without
lerobot.

State, action, tasks and the bounds of the episodes are arrays in memory; images stay encoded in the
memory-mapped files. Opening checks the files against meta/info.json. The images are indexed once per machine,
at the first access.
"""

from __future__ import annotations

import json
import threading
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gr1_core import images
from gr1_core.data.cache import Cache, DatasetError
from gr1_core.data.drivers import COLUMN as DRIVER
from gr1_core.data.drivers import OPERATOR
from gr1_core.data.frames import EncodedFrames, open_frames
from gr1_core.hub import reference as hub
from gr1_core.plural import plural
from gr1_core.rig import ROLES, Camera, Rig

IMAGES = "observation.images."
STATE, ACTION = "observation.state", "action"
EPISODE = np.dtype([("start", np.int64), ("end", np.int64)])
_AGAIN = "copy or convert the dataset again"
_REMAP = "`gr1 convert lerobot` maps other names, videos and vectors"


class Dataset:
    """See the module. Raises DatasetError for anything that is wrong with the dataset.

    root: folder of the dataset. cache: folder for what is computed once per machine (default: $GR1_CACHE,
    else `<root>/.cache`). rig: for a dataset without meta/rig.yaml.

    fps: frames per second. kind: "demonstrations" or "videos" (no state, action, rig). roles: its cameras.
    episodes: structured array [E] of `start` and `end` (exclusive), rows among the `length` frames. tasks:
    instructions. task_of: i64[E]. state, action: f32[length, 7] or None. driver: u8[length], who drove
    (data/drivers.py); None for a dataset without this column.
    """

    def __init__(self, root: str | Path, cache: str | Path | None = None, rig: Rig | None = None):
        self.root = hub.folder(root, hub.DATASET)
        self.info = _info(self.root)
        self.fps: int = self.info["fps"]
        self.roles = tuple(role for role in ROLES if IMAGES + role in self.info["features"])
        self.kind = _kind(self.root, self.info)
        self.rig = (
            Rig.load(self.root / "meta" / "rig.yaml") if (self.root / "meta" / "rig.yaml").is_file() else rig
        )
        self.cache = Cache(self.root, cache)
        self._check_features()
        bounds, self._files = _episodes(self.root, self.info)
        self.episodes = bounds
        self.length = int(bounds["end"][-1])
        self.tasks = _tasks(self.root)
        self.state = self.action = self.driver = None
        self.task_of = self._read_rows()
        self._lock = threading.Lock()
        self._encoded: dict[str, EncodedFrames] = {}

    def encoded(self, role: str, index: int) -> memoryview:
        """The bytes of frame `index` as recorded: JPEG or PNG of the camera's full frame, memory-mapped."""
        return self.frames(role)[index]

    def image(self, role: str, index: int, scratch: np.ndarray | None = None) -> np.ndarray:
        """Frame `index`, decoded: u8[H, W, 3] RGB, the camera's full frame. scratch: see `images.decode`."""
        try:
            return images.decode(self.encoded(role, index), scratch)
        except images.ImageError as error:
            raise DatasetError(
                f"{self.root}: frame {index} of the {role} camera: {error}; {_AGAIN}"
            ) from error

    def frames(self, role: str) -> EncodedFrames:
        """All encoded frames of one camera. The first call on a machine reads all images to index them."""
        if role not in self._encoded:
            shape = self.shape(role)
            with self._lock:
                if role not in self._encoded:
                    self._encoded[role] = open_frames(self._files, IMAGES + role, shape, self.cache)
        return self._encoded[role]

    def shape(self, role: str) -> tuple[int, int]:
        """(height, width) of the camera's full frame."""
        if role not in self.roles:
            raise DatasetError(f"{self.root} has no {role} camera, only {', '.join(self.roles)}")
        return tuple(self.info["features"][IMAGES + role]["shape"][:2])

    @cached_property
    def cameras(self) -> dict[str, Camera]:
        """How a frame is cropped to the model's input (`Camera.view`): by the rig; frames of videos to their
        largest square.
        """
        if self.rig is not None:
            return {role: self.rig.cameras[role] for role in self.roles}
        return {
            role: Camera(width, height, "square", 1.0)
            for role in self.roles
            for height, width in [self.shape(role)]
        }

    @cached_property
    def outcomes(self) -> list[str]:
        """Outcome of each episode as recorded, from meta/sources.jsonl; "" where it is not known."""
        path, found = self.root / "meta" / "sources.jsonl", [""] * len(self.episodes)
        if not path.is_file():
            return found
        try:
            for row in map(json.loads, path.read_text().splitlines()):
                found[row["episode_index"]] = str(row.get("outcome", ""))
        except (json.JSONDecodeError, KeyError, TypeError, IndexError) as error:
            raise DatasetError(
                f"{path} cannot be used ({type(error).__name__}: {error}): {_AGAIN}"
            ) from error
        return found

    def _check_features(self) -> None:
        where, features = self.root / "meta" / "info.json", self.info["features"]
        if not self.roles:
            raise DatasetError(f"{where} names none of the cameras {IMAGES}static, {IMAGES}wrist: {_REMAP}")
        for role in self.roles:
            feature = features[IMAGES + role]
            if feature.get("dtype") != "image":
                raise DatasetError(
                    f"{where}: {IMAGES}{role} has dtype {feature.get('dtype')!r}, only 'image' is read here: "
                    f"{_REMAP}"
                )
            shape = feature.get("shape")
            if not (
                isinstance(shape, list)
                and len(shape) == 3
                and shape[2] == 3
                and all(isinstance(n, int) and n > 0 for n in shape)
            ):
                raise DatasetError(
                    f"{where}: {IMAGES}{role} has shape {shape!r}, expected [height, width, 3]: {_REMAP}"
                )
        if self.kind != "demonstrations":
            return
        for name in (STATE, ACTION):
            if features.get(name, {}).get("shape") != [7]:
                raise DatasetError(
                    f"{where}: {name} has shape {features.get(name, {}).get('shape')}, expected [7]: {_REMAP}"
                )
        if self.rig is not None and set(self.roles) != set(self.rig.cameras):
            raise DatasetError(
                f"{where}: has the cameras {' '.join(self.roles)}, rig '{self.rig.name}' has "
                f"{' '.join(self.rig.cameras)}: {_REMAP}"
            )
        if self.rig is None:
            raise DatasetError(
                f"{self.root / 'meta'} holds no rig.yaml: give the rig of its numbers, or {_REMAP}"
            )
        if self.rig.control_hz != self.fps:
            raise DatasetError(
                f"{where}: {self.fps} frames per second, but rig '{self.rig.name}' has control_hz "
                f"{self.rig.control_hz:g}: {_REMAP}"
            )
        for role in self.roles:
            camera = self.rig.cameras[role]
            if self.shape(role) != (camera.height, camera.width):
                height, width = self.shape(role)
                raise DatasetError(
                    f"{where}: {role} is {width}x{height}, rig '{self.rig.name}' has "
                    f"{camera.width}x{camera.height}: {_REMAP}"
                )

    def _read_rows(self) -> np.ndarray:
        """Reads and checks all columns but the images. Returns the task of each episode."""
        vectors = [STATE, ACTION] if self.kind == "demonstrations" else []
        names = ["index", "episode_index", "frame_index", "task_index", *vectors]
        names += [DRIVER] if vectors and DRIVER in self.info["features"] else []
        tables = [_table(path, names, [IMAGES + role for role in self.roles]) for path in self._files]
        columns = {
            name: np.concatenate([_column(table, name, path) for table, path in zip(tables, self._files)])
            for name in names
        }
        starts = self.episodes["start"]
        lengths = self.episodes["end"] - starts
        if len(columns["index"]) != self.length:
            raise DatasetError(
                f"{self.root / 'data'} holds {plural(len(columns['index']), 'frame')}, meta/episodes says "
                f"{self.length}: {_AGAIN}"
            )
        expected = {
            "index": np.arange(self.length),
            "episode_index": np.repeat(np.arange(len(starts)), lengths),
            "frame_index": np.arange(self.length) - np.repeat(starts, lengths),
        }
        for name, values in expected.items():
            wrong = np.flatnonzero(columns[name] != values)
            if len(wrong):
                row = int(wrong[0])
                raise DatasetError(
                    f"{self._file_of(row, tables)}: row {row} has {name} {columns[name][row]}, expected "
                    f"{values[row]}: {_AGAIN}"
                )
        for name in vectors:
            values = columns[name].astype(np.float32)
            wrong = np.flatnonzero(~np.isfinite(values).all(1))
            if len(wrong):
                row = int(wrong[0])
                episode = int(columns["episode_index"][row])
                raise DatasetError(
                    f"{self._file_of(row, tables)}: {name} of frame {row - starts[episode]} of episode "
                    f"{episode} is not finite "
                    f"({values[row].tolist()}): leave this episode out and convert again"
                )
            setattr(self, "state" if name == STATE else "action", values)
        if DRIVER in columns:
            self.driver = self._drivers(columns[DRIVER], tables)
        return self._episode_tasks(columns["task_index"], starts, lengths)

    def _drivers(self, values: np.ndarray, tables: list[pa.Table]) -> np.ndarray:
        wrong = np.flatnonzero((values < 0) | (values > OPERATOR) | (values != np.round(values)))
        if len(wrong):
            row = int(wrong[0])
            raise DatasetError(
                f"{self._file_of(row, tables)}: {DRIVER} of row {row} is {values[row]}, expected 0 (the "
                f"demonstrator), 1 (a policy) or 2 (an operator who took over): {_AGAIN}"
            )
        return values.astype(np.uint8)

    def _episode_tasks(self, task: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        if task.min() < 0 or task.max() >= len(self.tasks):
            raise DatasetError(
                f"{self.root / 'data'}: task_index {task.min()} to {task.max()}, meta/tasks.parquet has "
                f"{len(self.tasks)}: {_AGAIN}"
            )
        wrong = np.flatnonzero(task != np.repeat(task[starts], lengths))
        if len(wrong):
            episode = int(np.searchsorted(starts, wrong[0], "right")) - 1
            raise DatasetError(
                f"{self.root}: episode {episode} has several tasks: GR-1 takes one instruction per episode; "
                "split the episode where the task changes"
            )
        return task[starts]

    def _file_of(self, row: int, tables: list[pa.Table]) -> Path:
        ends = np.cumsum([table.num_rows for table in tables])
        return self._files[int(np.searchsorted(ends, row, "right"))]


def _info(root: Path) -> dict:
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise DatasetError(f"{root} is no dataset: {path} is missing; `gr1 convert` makes one")
    try:
        info = json.loads(path.read_text())
        version, fps, features = info["codebase_version"], info["fps"], info["features"]
        info["total_frames"], info["total_episodes"], info["data_path"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} cannot be used ({type(error).__name__}: {error}): {_AGAIN}") from error
    if version != "v3.0":
        raise DatasetError(
            f"{path}: codebase_version is {version!r}, only v3.0 is read: convert it with lerobot's own tool "
            "first"
        )
    if not isinstance(fps, (int, float)) or fps <= 0 or not isinstance(features, dict):
        raise DatasetError(f"{path}: fps is {fps!r}, features a {type(features).__name__}: {_AGAIN}")
    return info


def _kind(root: Path, info: dict) -> str:
    path = root / "meta" / "gr1.json"
    if not path.is_file():
        return "demonstrations" if ACTION in info["features"] else "videos"
    try:
        kind = json.loads(path.read_text())["kind"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} cannot be used ({type(error).__name__}: {error}): {_AGAIN}") from error
    if kind not in ("demonstrations", "videos"):
        raise DatasetError(f"{path}: kind {kind!r} is neither demonstrations nor videos: {_AGAIN}")
    return kind


def _table(path: Path, columns: list[str], also: list[str] = ()) -> pa.Table:
    """Some columns of one file. also: columns that must exist but are not read."""
    if not path.is_file():
        raise DatasetError(f"{path} is missing: {_AGAIN}")
    try:
        parquet = pq.ParquetFile(path, memory_map=True)
        missing = [name for name in [*columns, *also] if name not in parquet.schema_arrow.names]
        if missing:
            raise DatasetError(f"{path} has no column {', '.join(missing)}: {_AGAIN}")
        return parquet.read(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} is not a complete Parquet file ({error}): {_AGAIN}") from error


def _column(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """A column as numbers: [rows], or [rows, 7] for state and action."""
    column = table[name].combine_chunks()
    if column.null_count:
        raise DatasetError(f"{path}: {name} has empty rows: {_AGAIN}")
    if name not in (STATE, ACTION):
        return column.to_numpy(zero_copy_only=False)
    flat = column.flatten().to_numpy(zero_copy_only=False) if pa.types.is_nested(column.type) else np.empty(0)
    if flat.size != 7 * len(column):
        raise DatasetError(
            f"{path}: {name} is {column.type} with {flat.size} numbers in {len(column)} rows, expected 7 per "
            f"row: {_AGAIN}"
        )
    return flat.reshape(-1, 7)


def _episodes(root: Path, info: dict) -> tuple[np.ndarray, list[Path]]:
    """The episodes' bounds and the data files in the order of their rows."""
    folder = root / "meta" / "episodes"
    names = [
        "episode_index",
        "length",
        "data/chunk_index",
        "data/file_index",
        "dataset_from_index",
        "dataset_to_index",
    ]
    paths = sorted(folder.glob("**/*.parquet"))
    if not paths:
        raise DatasetError(f"{folder} holds no Parquet file: {_AGAIN}")
    table = pa.concat_tables([_table(path, names) for path in paths])
    number, length, chunk, file, start, end = (table[name].to_numpy() for name in names)
    if len(number) != info["total_episodes"] or len(number) == 0:
        raise DatasetError(
            f"{folder} lists {plural(len(number), 'episode')}, meta/info.json says "
            f"{info['total_episodes']}: {_AGAIN}"
        )
    wrong = np.flatnonzero(
        (number != np.arange(len(number)))
        | (start != np.concatenate([[0], end[:-1]]))
        | (end - start != length)
        | (length < 1)
    )
    if len(wrong):
        raise DatasetError(
            f"{folder}: episode {wrong[0]} does not follow the one before it, or has no frames: {_AGAIN}"
        )
    if end[-1] != info["total_frames"]:
        raise DatasetError(
            f"{folder} lists {plural(end[-1], 'frame')}, meta/info.json says {info['total_frames']}: {_AGAIN}"
        )
    files = dict.fromkeys(zip(chunk.tolist(), file.tolist()))
    bounds = np.empty(len(number), EPISODE)
    bounds["start"], bounds["end"] = start, end
    return bounds, [
        root / info["data_path"].format(chunk_index=chunk, file_index=file) for chunk, file in files
    ]


def _tasks(root: Path) -> list[str]:
    """The texts of meta/tasks.parquet, a pandas frame whose index is the text; its order is task_index."""
    path = root / "meta" / "tasks.parquet"
    table = _table(path, ["task_index"])
    names = [name for name in pq.read_schema(path).names if name != "task_index"]
    if len(names) != 1 or not np.array_equal(table["task_index"].to_numpy(), np.arange(table.num_rows)):
        raise DatasetError(
            f"{path}: expected the columns task_index (0, 1, 2, ...) and the text, got "
            f"{', '.join(table.column_names + names)}: {_AGAIN}"
        )
    return [str(text) for text in _table(path, names)[names[0]].to_pylist()]
