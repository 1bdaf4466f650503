"""Random access to a dataset's encoded frames by memory-mapping, without copies.

Parquet without compression and dictionary stores a column's values one after the other, each after its
length. An index of (file, offset, length) therefore makes the dataset's own files a random-access store of
images. Image columns that are compressed or dictionary-coded (lerobot writes them so) are copied once per
machine into one file of the cache instead.
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
    """One camera's encoded frames (JPEG or PNG); `frames[i]` is a memoryview of the file, i the frame's row
    in the dataset.
    """

    def __init__(self, paths: list[Path], places: np.ndarray):
        self._places = places
        # Each mapped file costs one of the process's 1024 descriptors; an evicted one stays mapped while a
        # frame of it is in use.
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
    """The frames of image column `column` in all data files, in their order.

    Each is checked once to be an image of `shape` (H, W).
    """
    name = column.replace("/", "_")
    size = sum(path.stat().st_size for path in files)
    plain = all(_is_plain(path, column) for path in files)
    index, blob = cache.path(f"{name}.index.npy"), cache.path(f"{name}.bytes")
    if not plain and not blob.is_file():
        with cache.creating(blob.name, size) as partial:
            if partial is not None:
                _copy_values(files, column, shape, partial)
    if not index.is_file():
        with cache.creating(index.name, size // 500) as partial:
            if partial is not None:
                places = _locate_values(files, column, shape) if plain else _walk_blob(blob)
                _save_array(partial, places)
    return EncodedFrames(files if plain else [blob], np.load(index))


def _is_plain(path: Path, column: str) -> bool:
    """Whether the column's values lie in the file uncompressed."""
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
            f"{path} is not a complete Parquet file ({error}): copy or convert the dataset again"
        ) from error


def _leaf(parquet: pq.ParquetFile, column: str) -> int:
    schema = parquet.metadata.schema
    for number in range(len(schema)):
        if schema.column(number).path in (column, f"{column}.bytes"):
            return number
    raise DatasetError(
        f"column {column} holds no image bytes: expected a struct of bytes and path, as lerobot writes "
        "features of dtype image"
    )


def _row_groups(
    files: list[Path], column: str, shape: tuple[int, int]
) -> Iterator[tuple[int, Path, pq.ParquetFile, int, list[bytes]]]:
    """(file number, file, parquet, row group, encoded frames) of every row group; each frame is checked."""
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
                        f"{path}: row group {group} of {column} cannot be read ({error}): "
                        "copy or convert the dataset again"
                    ) from error
                values = (values.field("bytes") if pa.types.is_struct(values.type) else values).to_pylist()
                for value in values:
                    _check_image(value, shape, f"{path}: frame {row} of {column}")
                    row += 1
                yield number, path, parquet, group, values
            bar.update(path.stat().st_size)


def _check_image(value: bytes | None, shape: tuple[int, int], where: str) -> None:
    if not value:
        raise DatasetError(
            f"{where} holds no image bytes (a path beside them is not followed): convert the dataset again"
        )
    try:
        found = images.size(value)
    except images.ImageError as error:
        raise DatasetError(f"{where} is no image: {error}; convert the dataset again") from error
    if found != shape:
        raise DatasetError(
            f"{where} is {found[1]}x{found[0]}, meta/info.json says {shape[1]}x{shape[0]}: convert the "
            "dataset again"
        )


def _locate_values(files: list[Path], column: str, shape: tuple[int, int]) -> np.ndarray:
    """Finds every value in its file by its length and its bytes.

    Values follow each other; page headers may lie between them.
    """
    places = []
    for number, path, parquet, group, values in _row_groups(files, column, shape):
        chunk = parquet.metadata.row_group(group).column(_leaf(parquet, column))
        at, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            for value in values:
                at = _find(mapped, value, at, end)
                if at < 0:
                    raise DatasetError(
                        f"{path}: row group {group} of {column} is not laid out as its metadata says: "
                        "convert the dataset again"
                    )
                places.append((number, len(value), at))
                at += len(value)
    return np.array(places, PLACE)


def _find(mapped: mmap.mmap, value: bytes, at: int, end: int) -> int:
    """Offset of `value` after its length, -1 if not found.

    mmap compares slowly: search for its start, then compare the whole.
    """
    head = len(value).to_bytes(4, "little") + value[:32]
    while (at := mapped.find(head, at, end)) >= 0:
        if mapped[at + 4 : at + 4 + len(value)] == value:
            return at + 4
        at += 1
    return -1


def _copy_values(files: list[Path], column: str, shape: tuple[int, int], path: Path) -> None:
    with open(path, "wb") as out:
        for *_, values in _row_groups(files, column, shape):
            for value in values:
                out.write(len(value).to_bytes(4, "little"))
                out.write(value)


def _walk_blob(blob: Path) -> np.ndarray:
    places, at, size = [], 0, blob.stat().st_size
    with open(blob, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        while at < size:
            length = int.from_bytes(mapped[at : at + 4], "little")
            places.append((0, length, at + 4))
            at += 4 + length
    return np.array(places, PLACE)


def _save_array(path: Path, places: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.save(file, places)
