"""Where the bytes of each frame lie, so that they can be memory-mapped instead of read.

Parquet without compression and dictionary holds a column's values one after the other, each behind its length. An index of (file,
offset, length) therefore makes the dataset's own files a random-access store of images, and nothing is copied. Image columns that are
compressed or dictionary-coded (lerobot writes them so) are copied once per machine into one file of the cache instead.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from gr1_core import images
from gr1_core.data.cache import Cache, DatasetError

PLACE = np.dtype([("file", np.int32), ("length", np.int32), ("offset", np.int64)])
_PLAIN = {"PLAIN", "RLE", "BIT_PACKED"}


class EncodedFrames:
    """One camera's frames as they were encoded; `frames[i]` is a memoryview on the file, i the frame's row in the dataset."""

    def __init__(self, paths: list[Path], places: np.ndarray):
        self._places = places
        # Each mapped file costs one of the process's 1024 descriptors; one that falls out stays mapped while a frame of it is in use.
        self._map = lru_cache(maxsize=200)(lambda number: _map(paths[number]))

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, row: int) -> memoryview:
        number, length, offset = self._places[row].tolist()
        return self._map(number)[offset : offset + length]


def _map(path: Path) -> memoryview:
    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def open_frames(files: list[Path], column: str, shape: tuple[int, int], cache: Cache) -> EncodedFrames:
    """The frames of image column `column` in all data files, in their order. Each is checked to be a picture of `shape` (H, W) once."""
    name = column.replace("/", "_")
    size = sum(path.stat().st_size for path in files)
    if all(_plain(path, column) for path in files):
        index = cache.get(
            f"{name}.index.npy", size // 500, lambda path: _save(path, _locate(files, column, shape))
        )
        return EncodedFrames(files, np.load(index))
    blob = cache.get(f"{name}.bytes", size, lambda path: _copy(files, column, shape, path))
    index = cache.get(f"{name}.index.npy", size // 500, lambda path: _save(path, _walk(blob)))
    return EncodedFrames([blob], np.load(index))


def _plain(path: Path, column: str) -> bool:
    """Whether the column's values lie in the file as they are."""
    parquet = _open(path)
    groups = [
        parquet.metadata.row_group(number).column(_leaf(parquet, column))
        for number in range(parquet.num_row_groups)
    ]
    return all(
        group.compression == "UNCOMPRESSED"
        and not group.has_dictionary_page
        and _PLAIN.issuperset(group.encodings)
        for group in groups
    )


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{path} is not a whole parquet file ({error}): copy or convert the dataset again"
        ) from error


def _leaf(parquet: pq.ParquetFile, column: str) -> int:
    schema = parquet.metadata.schema
    for number in range(len(schema)):
        if schema.column(number).path in (column, f"{column}.bytes"):
            return number
    raise DatasetError(
        f"column {column} holds no image bytes: expected a struct of bytes and path, as lerobot writes features of dtype image"
    )


def _groups(
    files: list[Path], column: str, shape: tuple[int, int]
) -> Iterator[tuple[int, Path, pq.ParquetFile, int, list[bytes]]]:
    """Every row group's encoded frames, checked."""
    row = 0
    with tqdm(
        total=sum(path.stat().st_size for path in files),
        desc=f"index {column}",
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,
    ) as bar:
        for number, path in enumerate(files):
            parquet = _open(path)
            leaf = parquet.metadata.schema.column(_leaf(parquet, column)).path
            for group in range(parquet.num_row_groups):
                try:
                    values = parquet.read_row_group(group, columns=[leaf]).column(0).combine_chunks()
                except (pa.ArrowException, OSError) as error:
                    raise DatasetError(
                        f"{path}: row group {group} of {column} cannot be read ({error}): copy or convert the dataset again"
                    ) from error
                values = (values.field("bytes") if pa.types.is_struct(values.type) else values).to_pylist()
                for value in values:
                    _check(value, shape, f"{path}: frame {row} of {column}")
                    row += 1
                yield number, path, parquet, group, values
            bar.update(path.stat().st_size)


def _check(value: bytes | None, shape: tuple[int, int], where: str) -> None:
    if not value:
        raise DatasetError(
            f"{where} holds no image bytes (a path beside them is not followed): convert the dataset again"
        )
    try:
        found = images.size(value)
    except images.ImageError as error:
        raise DatasetError(f"{where} is no picture: {error}; convert the dataset again") from error
    if found != shape:
        raise DatasetError(
            f"{where} is {found[1]}x{found[0]}, meta/info.json says {shape[1]}x{shape[0]}: convert the dataset again"
        )


def _locate(files: list[Path], column: str, shape: tuple[int, int]) -> np.ndarray:
    """Finds every value in its file by its length and its bytes; they follow each other, with page headers now and then between them."""
    places = []
    for number, path, parquet, group, values in _groups(files, column, shape):
        chunk = parquet.metadata.row_group(group).column(_leaf(parquet, column))
        at, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            for value in values:
                at = _find(mapped, value, at, end)
                if at < 0:
                    raise DatasetError(
                        f"{path}: row group {group} of {column} is not laid out as its metadata says: convert the dataset again"
                    )
                places.append((number, len(value), at))
                at += len(value)
    return np.array(places, PLACE)


def _find(mapped: mmap.mmap, value: bytes, at: int, end: int) -> int:
    """Where `value` lies behind its length, -1 if nowhere. mmap compares slowly: a short search, then the whole value as bytes."""
    head = len(value).to_bytes(4, "little") + value[:32]
    while (at := mapped.find(head, at, end)) >= 0:
        if mapped[at + 4 : at + 4 + len(value)] == value:
            return at + 4
        at += 1
    return -1


def _copy(files: list[Path], column: str, shape: tuple[int, int], path: Path) -> None:
    with open(path, "wb") as out:
        for *_, values in _groups(files, column, shape):
            for value in values:
                out.write(len(value).to_bytes(4, "little"))
                out.write(value)


def _walk(blob: Path) -> np.ndarray:
    places, at, size = [], 0, blob.stat().st_size
    with open(blob, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        while at < size:
            length = int.from_bytes(mapped[at : at + 4], "little")
            places.append((0, length, at + 4))
            at += 4 + length
    return np.array(places, PLACE)


def _save(path: Path, places: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.save(file, places)
