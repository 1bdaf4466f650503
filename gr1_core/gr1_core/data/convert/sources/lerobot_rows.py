"""Rows of a LeRobotDataset's data files: one episode as columns, checked against what meta/info.json
declares.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gr1_core import lfs
from gr1_core.data.convert.sources.source import SourceError

COUNTERS = ("frame_index", "timestamp", "task_index")


class DataFile:
    """Rows of a data file, read a few row groups at a time. Raises SourceError."""

    def __init__(self, path: Path, names: list[str]):
        self.path = path
        try:
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
        except FileNotFoundError:
            raise SourceError(f"{path} is missing: the download is not complete") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise SourceError(f"{path}: {lfs.explain(path, f'damaged ({error})')}") from error
        here = self._file.schema_arrow.names
        absent = [name for name in names if name not in here]
        if absent:
            raise SourceError(
                f"{path}: has no column {', '.join(absent)}, although meta/info.json declares it"
            )
        self._names = [*names, *(name for name in COUNTERS if name in here and name not in names)]
        groups = range(self._file.metadata.num_row_groups)
        counts = [self._file.metadata.row_group(i).num_rows for i in groups]
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts
        self._held: tuple[tuple[int, ...], pa.Table] | None = None

    def slice(self, start: int, length: int) -> pa.Table:
        groups = tuple(np.flatnonzero((self._starts < start + length) & (self._ends > start)).tolist())
        if not groups or start < 0 or start + length > self._ends[-1]:
            raise SourceError(f"{self.path}: rows {start} to {start + length - 1} are not in it: truncated")
        if self._held is None or self._held[0] != groups:
            try:
                self._held = (groups, self._file.read_row_groups(list(groups), columns=self._names))
            except (pa.ArrowException, OSError, ValueError) as error:
                raise SourceError(f"{self.path}: damaged ({error})") from error
        return self._held[1].slice(start - int(self._starts[groups[0]]), length)


def in_order(table: pa.Table) -> pa.Table:
    """The rows of an episode by their column frame_index. Raises SourceError for a frame that is there
    twice.
    """
    if "frame_index" not in table.column_names:
        return table
    frames = numbers(table, "frame_index")
    order = np.argsort(frames, kind="stable")
    twice = np.flatnonzero(np.diff(frames[order]) == 0)
    if len(twice):
        raise SourceError(f"its frame_index {int(frames[order][twice[0]])} is there twice")
    return table if (order == np.arange(len(order))).all() else table.take(pa.array(order))


def row_times(table: pa.Table, fps: float) -> np.ndarray:
    """f64[T] seconds, ascending: the column timestamp, or frame_index by the declared rate where there is
    none.
    """
    if "timestamp" in table.column_names:
        times = numbers(table, "timestamp")
        wrong = np.flatnonzero(np.diff(times) <= 0)
        if len(wrong):
            at = int(wrong[0]) + 1
            raise SourceError(
                f"its timestamp is {times[at]:g} s at frame {at}, after {times[at - 1]:g} s: times must rise"
            )
        return times
    frames = numbers(table, "frame_index") if "frame_index" in table.column_names else np.arange(len(table))
    return frames / fps


def numbers(table: pa.Table, name: str) -> np.ndarray:
    """A column of plain numbers -> f64[T]. Raises SourceError for null, text and what is not finite."""
    column = table[name].combine_chunks()
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return vectors(table, name, 1)[:, 0]
    if not (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_boolean(column.type)
    ):
        raise SourceError(f"{name} is {column.type}, expected numbers")
    if column.null_count:
        raise SourceError(f"{name} is null at frame {_first_null(column)}")
    values = column.to_numpy(zero_copy_only=False).astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise SourceError(f"{name} is {values[wrong[0]]} at frame {wrong[0]}")
    return values


def vectors(table: pa.Table, name: str, length: int) -> np.ndarray:
    """A column of (nested) lists or plain numbers -> f64[T, length]. Raises SourceError that names the
    frame.
    """
    column, counts = table[name].combine_chunks(), None
    rows = len(column)
    while _is_list(column.type):
        if column.null_count:
            at = _first_null(column)
            raise SourceError(f"{name} is null at frame {at if counts is None else 'unknown'}")
        sizes = np.asarray(column.value_lengths(), np.int64)
        if counts is None:
            counts = sizes
        elif len(sizes) and counts.all():
            counts = np.add.reduceat(sizes, np.cumsum(counts) - counts)
        column = column.flatten()
    if not (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_boolean(column.type)
    ):
        raise SourceError(f"{name} is {table[name].type}, expected numbers")
    counts = np.ones(rows, np.int64) if counts is None else counts
    wrong = np.flatnonzero(counts != length)
    if len(wrong):
        raise SourceError(
            f"{name} has {counts[wrong[0]]} numbers at frame {wrong[0]}, meta/info.json says {length}"
        )
    if column.null_count:
        at = _first_null(column)
        raise SourceError(f"{name}[{at % length}] is null at frame {at // length}")
    return column.to_numpy(zero_copy_only=False).astype(np.float64).reshape(rows, length)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)


def _first_null(column: pa.Array) -> int:
    return int(np.flatnonzero(np.asarray(column.is_null()))[0])
