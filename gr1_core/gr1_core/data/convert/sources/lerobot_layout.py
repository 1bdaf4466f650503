"""Where a LeRobotDataset (v2.0, v2.1, v3.0) keeps its episodes, rows, videos and instructions; read without
lerobot.

What the files of meta/ say about places is not believed: rows are found by the columns `episode_index` and
`frame_index` of the data files, an instruction by the row's `task_index`. Only the place of an episode in a
video that several share has no other witness than meta/episodes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gr1_core import lfs
from gr1_core.data.convert.sources.source import SourceError

VERSIONS = ("v2.0", "v2.1", "v3.0")
_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError)
_MOST_ABSENT = 1000


@dataclass(frozen=True)
class EpisodeVideo:
    """An episode's video of one camera. begin: seconds in the file at which the episode's time 0 lies.

    defect: why there is none; the other fields are empty then.
    """

    path: Path = Path()
    begin: float = 0.0
    defect: str = ""


@dataclass(frozen=True)
class EpisodeRows:
    """One episode. rows: (data file, first row, number of rows), in the order of the files.

    videos: camera feature -> its video. length: rows that the metadata promises, None if it does not say.
    tasks: the stored instructions that the metadata lists for it.
    defect: why the episode cannot be read.
    """

    number: int
    rows: tuple[tuple[Path, int, int], ...] = ()
    videos: Mapping[str, EpisodeVideo] = None
    length: int | None = None
    defect: str = ""
    tasks: tuple = ()

    @property
    def name(self) -> str:
        return f"episode_{self.number:06d}"

    @property
    def frames(self) -> int:
        return sum(count for _, _, count in self.rows)


class Layout:
    """root: folder with meta/info.json. info: its content, checked. Raises SourceError."""

    def __init__(self, root: Path):
        self.root, self.info = root, read_info(root)
        self.features: dict[str, dict] = self.info["features"]
        self.fps: float = self.info["fps"]
        self.old = self.info["codebase_version"].startswith("v2")

    @property
    def tasks_file(self) -> Path:
        return self.root / "meta" / ("tasks.jsonl" if self.old else "tasks.parquet")

    @cached_property
    def tasks(self) -> dict[int, Any]:
        """task_index -> the stored instruction, which need not be a text."""
        path = self.tasks_file
        if self.old:
            rows = _json_lines(path)
            return {row["task_index"]: row.get("task") for row in rows if _is_index(row.get("task_index"))}
        table = read_table(path)
        column = _task_column(table)
        if column is None or "task_index" not in table.column_names:
            raise SourceError(
                f"{path}: has {', '.join(table.column_names)}, expected task_index and a column `task` of "
                "texts"
            )
        numbers, texts = (table[name].to_pylist() for name in ("task_index", column))
        return {number: text for number, text in zip(numbers, texts) if _is_index(number)}

    def episodes(self, videos: list[str]) -> list[EpisodeRows]:
        """All episodes by number: those with rows in the data files, and those that the metadata promises.

        videos: the camera features that are videos.
        """
        found, damaged = self._rows()
        listed = self._listed(videos)
        if not found and not listed:
            places = ", ".join(f"{path}: {why}" for path, why in list(damaged.items())[:1])
            raise SourceError(
                f"{self.root}: no episode in it"
                + (f" ({places})" if places else ": an unfinished recording or download")
            )
        episodes = []
        for number in sorted({*found, *listed}):
            row = listed.get(number)
            here = EpisodeRows(
                number,
                found.get(number, ()),
                self._episode_videos(number, row, videos),
                _length(row),
                tasks=_listed_tasks(row),
            )
            if not here.rows:
                here = EpisodeRows(number, length=here.length, defect=self._absence(number, row, damaged))
            episodes.append(here)
        return episodes + self._promised({*found, *listed})

    def _promised(self, known: set[int]) -> list[EpisodeRows]:
        """Episodes that only meta/info.json counts."""
        total = self.info.get("total_episodes")
        if not _is_index(total) or total <= len(known):
            return []
        absent = [number for number in range(min(total, len(known) + _MOST_ABSENT)) if number not in known]
        said = (
            f"{self.root / 'meta' / 'info.json'} counts {total} episodes; this one is neither in the data "
            "files nor listed in meta"
        )
        return [EpisodeRows(number, defect=said) for number in absent]

    def _rows(self) -> tuple[dict[int, tuple], dict[Path, str]]:
        """Episode -> where its rows are; data file -> why it cannot be read."""
        found: dict[int, list] = {}
        damaged = {}
        for path in sorted((self.root / "data").glob("**/*.parquet")):
            try:
                for number, first, count in _runs(path):
                    found.setdefault(number, []).append((path, first, count))
            except SourceError as error:
                damaged[path] = str(error).removeprefix(f"{path}: ")
        return {number: tuple(rows) for number, rows in found.items()}, damaged

    def _listed(self, videos: list[str]) -> dict[int, dict]:
        """Episode -> its row in the metadata. A file that cannot be read is left out if all can do
        without.
        """
        if self.old:
            path = self.root / "meta" / "episodes.jsonl"
            rows = _json_lines(path) if path.is_file() else []
        else:
            rows = []
            for path in sorted((self.root / "meta" / "episodes").glob("**/*.parquet")):
                try:
                    rows += _episode_rows(path)
                except SourceError:
                    if videos or lfs.is_pointer(path):
                        raise
            if videos and not rows:
                raise SourceError(
                    f"{self.root / 'meta' / 'episodes'}: no episode in it, so the places of the episodes in "
                    "the videos are unknown: an unfinished recording or download"
                )
        return {row["episode_index"]: row for row in rows if _is_index(row.get("episode_index"))}

    def _episode_videos(self, number: int, row: dict | None, videos: list[str]) -> dict[str, EpisodeVideo]:
        return {name: self._episode_video(number, row, name) for name in videos}

    def _episode_video(self, number: int, row: dict | None, name: str) -> EpisodeVideo:
        if self.old:
            values, begin = self._places(number), 0.0
        else:
            if row is None:
                return EpisodeVideo(
                    defect=f"{name}: not listed in meta/episodes, so its place in the video is unknown"
                )
            places = [
                row.get(f"videos/{name}/{item}") for item in ("chunk_index", "file_index", "from_timestamp")
            ]
            if not all(isinstance(place, (int, float)) and math.isfinite(place) for place in places):
                return EpisodeVideo(defect=f"{name} was not recorded: it has no video in meta/episodes")
            values = self._places(number, int(places[0]), int(places[1]))
            begin = float(places[2])
        try:
            path = self.root / str(self.info["video_path"]).format(video_key=name, **values)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise SourceError(
                f"{self.root / 'meta' / 'info.json'}: video_path {self.info.get('video_path')!r} cannot "
                f"be used ({type(error).__name__}: {error}): expected places in braces of video_key, "
                f"{', '.join(values)}"
            ) from error
        return EpisodeVideo(path, begin)

    def _places(self, number: int, chunk: int | None = None, file: int | None = None) -> dict[str, int]:
        """What a path's pattern may name. In v2 a file holds one episode, and some tools write its number as
        that of the file.
        """
        of_episode = self._chunk(number)
        return {
            "episode_chunk": of_episode,
            "episode_index": number,
            "chunk_index": of_episode if chunk is None else chunk,
            "file_index": number if file is None else file,
        }

    def _chunk(self, number: int) -> int:
        """The folder of an episode in v2."""
        size = self.info.get("chunks_size")
        return number // (size if _is_index(size) and size else 1000)

    def _absence(self, number: int, row: dict | None, damaged: Mapping[Path, str]) -> str:
        """Why an episode that is listed has no rows."""
        try:
            path = self._promised_file(number, row)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError):
            path = None
        if path in damaged:
            return f"{path}: {damaged[path]}"
        if path is not None and not path.is_file():
            return self.missing(path)
        also = f"; {len(damaged)} of them cannot be read" if damaged else ""
        return f"no row of the data files has episode_index {number}{also}"

    def missing(self, path: Path) -> str:
        """The defect of a file that meta/info.json promises: where it lies instead, if a folder has another
        name.
        """
        parts = path.relative_to(self.root).parts if path.is_relative_to(self.root) else ()
        for place, name in enumerate(parts[:-1]):
            above = self.root.joinpath(*parts[:place])
            if (above / name).exists() or not above.is_dir():
                continue
            others = [one for one in sorted(above.iterdir()) if one.is_dir() and not self._is_taken(one.name)]
            for other in others:
                if other.joinpath(*parts[place + 1 :]).is_file():
                    return f"{path} is missing, but it lies in {other}: rename that folder to {name}"
        return f"{path} is missing: the download is not complete"

    def _is_taken(self, folder: str) -> bool:
        """Whether a folder's name has a meaning of its own, so that it cannot be another's in disguise."""
        return folder in ("data", "meta") or folder in self.features or folder.startswith(("chunk-", "."))

    def _promised_file(self, number: int, row: dict) -> Path:
        pattern = str(self.info["data_path"])
        if self.old:
            return self.root / pattern.format(**self._places(number))
        return self.root / pattern.format(
            **self._places(number, row["data/chunk_index"], row["data/file_index"])
        )


def read_info(root: Path) -> dict[str, Any]:
    """meta/info.json, checked: fps is a positive float, each feature has a dtype and a shape of whole
    numbers.
    """
    path = root / "meta" / "info.json"
    if not path.is_file():
        below = sorted(
            {found.parents[1] for found in root.glob("*/meta/info.json")}
            | {found.parents[1] for found in root.glob("*/*/meta/info.json")}
        )
        hint = (
            f"did you mean {' or '.join(map(str, below[:4]))}?"
            if below
            else "expected a LeRobotDataset, whose folder has meta/, data/ and perhaps videos/"
        )
        raise SourceError(f"{root} has no meta/info.json: {hint}")
    try:
        info = _described(path)
        version, features, fps = info["codebase_version"], info["features"], info["fps"]
        for name, feature in features.items():
            shape = feature["shape"]
            if not isinstance(feature["dtype"], str):
                raise TypeError(f"dtype of {name} is {feature['dtype']!r}")
            if isinstance(shape, int) and not isinstance(shape, bool):
                feature["shape"] = shape = [shape]
            if not isinstance(shape, list) or not all(_is_index(size) for size in shape):
                raise TypeError(f"shape of {name} is {shape!r}")
        if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1e6:
            raise TypeError(f"fps is {fps!r}, expected a positive number")
        info["fps"] = float(fps)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        if isinstance(error, SourceError):
            raise
        defect = f"not the description of a LeRobotDataset ({type(error).__name__}: {error})"
        raise SourceError(f"{path}: {lfs.explain(path, defect)}") from error
    if version not in VERSIONS or not features:
        raise SourceError(
            f"{root} is a LeRobotDataset {version} with {len(features)} features, expected one of "
            f"{', '.join(VERSIONS)}: convert it with lerobot's own tools"
        )
    return info


def _described(path: Path) -> dict[str, Any]:
    """The content of meta/info.json. Raises SourceError for a file that another tool has written."""
    data = path.read_bytes()
    if not data.strip():
        raise SourceError(f"{path} is empty: an unfinished recording or upload")
    info = json.loads(data)
    absent = [name for name in ("codebase_version", "fps", "features") if name not in info]
    if absent:
        raise SourceError(
            f"{path} has no {' and no '.join(absent)}, so it is not that of a LeRobotDataset but another "
            f"tool's; it has {', '.join(map(str, list(info)[:12])) or 'nothing'}. Write the recordings with "
            "LeRobotDataset.create and add_frame of lerobot, then convert that"
        )
    return info


def read_table(path: Path, names: list[str] | None = None) -> pa.Table:
    """Columns of a Parquet file. Raises SourceError."""
    try:
        return pq.read_table(path, columns=names, partitioning=None, page_checksum_verification=True)
    except FileNotFoundError:
        raise SourceError(f"{path} is missing: the download is not complete") from None
    except _DAMAGE as error:
        raise SourceError(f"{path}: {lfs.explain(path, f'damaged ({error})')}") from error


def _runs(path: Path) -> list[tuple[int, int, int]]:
    """Runs of rows of one episode in a data file: (episode, first row, number of rows)."""
    table = read_table(path, ["episode_index"])
    if "episode_index" not in table.column_names:
        raise SourceError(f"{path}: has no column episode_index")
    column = table["episode_index"].combine_chunks()
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise SourceError(f"{path}: episode_index is {column.type}, expected whole numbers")
    numbers = np.nan_to_num(column.to_numpy(zero_copy_only=False).astype(np.float64), nan=-1.0).astype(
        np.int64
    )
    if not len(numbers):
        return []
    starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist()]
    ends = [*starts[1:], len(numbers)]
    return [
        (int(numbers[start]), start, end - start) for start, end in zip(starts, ends) if numbers[start] >= 0
    ]


def _episode_rows(path: Path) -> list[dict]:
    """A file of meta/episodes without its statistics."""
    try:
        names = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
    except FileNotFoundError:
        raise SourceError(f"{path} is missing: the download is not complete") from None
    except _DAMAGE as error:
        raise SourceError(f"{path}: {lfs.explain(path, f'damaged ({error})')}") from error
    try:
        return read_table(path, names).to_pylist()
    except _DAMAGE as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path}: damaged ({error})") from error


def _json_lines(path: Path) -> list[dict]:
    try:
        rows = [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
    except FileNotFoundError:
        raise SourceError(f"{path} is missing: the download is not complete") from None
    except (ValueError, OSError, RecursionError) as error:
        raise SourceError(f"{path}: {lfs.explain(path, f'damaged JSON lines ({error})')}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise SourceError(f"{path}: damaged: a line is no JSON object")
    return rows


def _task_column(table: pa.Table) -> str | None:
    """The column of the instructions: `task`, the index of the pandas frame, else the only one beside the
    number.
    """
    others = [name for name in table.column_names if name != "task_index"]
    for name in ("task", "__index_level_0__"):
        if name in others:
            return name
    texts = [
        name
        for name in others
        if pa.types.is_string(table[name].type) or pa.types.is_large_string(table[name].type)
    ]
    return texts[0] if len(texts) == 1 else None


def _length(row: dict | None) -> int | None:
    value = (row or {}).get("length")
    return value if _is_index(value) else None


def _listed_tasks(row: dict | None) -> tuple:
    value = (row or {}).get("tasks")
    return tuple(value) if isinstance(value, list) else () if value is None else (value,)


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
