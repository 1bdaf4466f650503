"""A part is one converted unit: an Arrow file, written atomically, that holds a digest of its origin.

Its record batches hold the images, states and actions; the first batch of an episode carries the rest as
metadata. A skipped episode is an empty batch with the reason. Parts are memory-mapped for reading.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gr1_core import atomic_write, images
from gr1_core.data import drivers, stats
from gr1_core.data.convert.report import episode_quality
from gr1_core.data.convert.sources import texts
from gr1_core.data.convert.sources.source import Episode, Skipped, Source, SourceError, Unit
from gr1_core.data.dataset_writer import binary_column

_VERSION = 3
_VECTOR = pa.list_(pa.float32(), 7)


@dataclass(frozen=True)
class Converted:
    """An episode of a part. Its `images` are Arrow columns; preview: of `episode_quality.episode_preview`."""

    episode: Episode
    image_statistics: Mapping[str, Mapping]
    preview: Mapping[str, Any]


def expected_origin(source: Source, unit: Unit) -> str:
    """The origin digest of an up-to-date part of this unit."""
    header = {
        "version": _VERSION,
        "unit": unit.key,
        "fingerprint": unit.fingerprint,
        "origin": source.origin,
        "fps": source.fps,
    }
    header |= {
        "settings": source.settings,
        "rig": source.rig and source.rig.to_dict(),
        "shapes": source.shapes,
    }
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def part_path(folder: Path, key: str) -> Path:
    return folder / f"{key}.arrow"


def part_origin(path: Path) -> str | None:
    """The origin digest of a part (see `expected_origin`); None if the part is missing or incomplete."""
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as part:
            return part.schema.metadata[b"made_of"].decode()
    except (OSError, pa.ArrowInvalid):
        return None


def write_part(source: Source, unit: Unit, folder: Path) -> str:
    """Converts one unit and writes its part. Returns "" or why the unit was skipped."""
    with atomic_write.replacing(part_path(folder, unit.key)) as partial:
        try:
            _write(source, expected_origin(source, unit), partial, source.read(unit))
            return ""
        except SourceError as error:
            # With an origin that matches nothing, so that the next run tries again.
            _write(source, "", partial, [Skipped(unit.key, str(error))])
            return str(error)


def read_part(path: Path) -> Iterator[Converted | Skipped]:
    """The contents of a part in order.

    The images of an episode are valid only until the next item is requested.
    """
    with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as part:
        number = 0
        while number < part.num_record_batches:
            first = part.get_batch_with_custom_metadata(number)
            header = json.loads(first.custom_metadata[b"gr1"])
            batches = [first.batch] + [
                part.get_batch(number + more) for more in range(1, header.pop("batches"))
            ]
            number += len(batches)
            yield (
                Skipped(**header["skipped"])
                if "skipped" in header
                else _converted(pa.Table.from_batches(batches), header)
            )


def _write(source: Source, made: str, path: Path, found: Iterable[Episode | Skipped]) -> None:
    fields = {role: pa.binary() for role in source.shapes} | (
        {"state": _VECTOR, "action": _VECTOR} if source.rig else {}
    )
    schema = pa.schema(fields, {"made_of": made})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as part:
        for item in map(_checked_text, found):
            if isinstance(item, Skipped):
                header = {"skipped": asdict(item)}
                batches = [
                    pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
                ]
            else:
                header, batches = _describe(item, source), _table(item, schema).to_batches()
            for index, batch in enumerate(batches):
                about = {"gr1": json.dumps(header | {"batches": len(batches)})} if index == 0 else None
                part.write_batch(batch, custom_metadata=about)


def _checked_text(item: Episode | Skipped) -> Episode | Skipped:
    """Leaves out an episode whose instruction no model could take."""
    if isinstance(item, Episode):
        try:
            texts.instruction(item.task, "its instruction")
        except SourceError as error:
            return Skipped(item.name, str(error))
    return item


def _describe(episode: Episode, source: Source) -> dict:
    _check(episode, source)
    try:
        statistics = {role: stats.image_statistics(encoded) for role, encoded in episode.images.items()}
        preview = episode_quality.episode_preview(episode)
    except images.ImageError as error:
        raise SourceError(f"{episode.name}: {error}") from error
    return {
        "name": episode.name,
        "task": episode.task,
        "info": episode.info,
        "image_statistics": statistics,
        "preview": preview,
        **({} if episode.driver is None else {"driver": drivers.to_runs(episode.driver)}),
    }


def _table(episode: Episode, schema: pa.Schema) -> pa.Table:
    columns = {role: binary_column(encoded) for role, encoded in episode.images.items()}
    vectors = {"state": episode.state, "action": episode.action} if "state" in schema.names else {}
    columns |= {
        name: pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=_VECTOR)
        for name, values in vectors.items()
    }
    return pa.table([columns[name] for name in schema.names], schema)


def _converted(table: pa.Table, header: dict) -> Converted:
    def vectors(name: str) -> np.ndarray | None:
        if name not in table.column_names:
            return None
        return np.concatenate([chunk.flatten().to_numpy() for chunk in table[name].chunks]).reshape(-1, 7)

    roles = [name for name in table.column_names if name not in ("state", "action")]
    episode = Episode(
        header["name"],
        header["task"],
        {role: table[role] for role in roles},
        vectors("state"),
        vectors("action"),
        header["info"],
        drivers.from_runs(header["driver"]) if "driver" in header else None,
    )
    return Converted(episode, header["image_statistics"], header["preview"])


def _check(episode: Episode, source: Source) -> None:
    """Raises SourceError for truncated images, images of a wrong size, and numbers that are not finite."""
    lengths = {role: len(encoded) for role, encoded in episode.images.items()}
    if source.rig:
        lengths |= {"state": len(episode.state), "action": len(episode.action)}
    if episode.driver is not None:
        lengths |= {drivers.COLUMN: len(episode.driver)}
    if (
        len(set(lengths.values())) != 1
        or 0 in lengths.values()
        or episode.images.keys() != source.shapes.keys()
    ):
        raise SourceError(f"{episode.name}: the streams do not have the same number of steps: {lengths}")
    for role, encoded in episode.images.items():
        for step, data in enumerate(encoded):
            try:
                _check_image(data, source.shapes[role])
            except images.ImageError as error:
                raise SourceError(f"{episode.name}: frame {step} of camera '{role}': {error}") from error
    for name, values in (("state", episode.state), ("action", episode.action)) if source.rig else ():
        if values.dtype != np.float32 or values.shape[1:] != (7,):
            raise SourceError(
                f"{episode.name}: {name} is {values.dtype}{list(values.shape)}, expected float32[T, 7]"
            )
        wrong = ~np.isfinite(values).all(1)
        if wrong.any():
            raise SourceError(
                f"{episode.name}: {name} of step {wrong.argmax()} is not finite: "
                f"{values[wrong.argmax()].tolist()}"
            )


def _check_image(data: bytes, shape: tuple[int, int]) -> None:
    height, width = images.size(data)
    if (height, width) != tuple(shape):
        raise images.ImageError(f"{width}x{height} pixels, expected {shape[1]}x{shape[0]}")
    if not data.endswith((b"\xff\xd9", b"\xaeB`\x82")):
        images.decode(data)  # some cameras pad after the end mark; a truncated image fails to decode
