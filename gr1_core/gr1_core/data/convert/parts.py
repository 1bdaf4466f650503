"""One part is one converted unit: an Arrow file that appears whole or not at all, and says from what it was made.

Its record batches hold the pictures, states and actions; the first batch of an episode carries the rest as metadata. What was skipped
is an empty batch with the reason. Parts are read by memory map.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gr1_core import atomic_write, images
from gr1_core.data import stats
from gr1_core.data.convert.report import episode_quality
from gr1_core.data.convert.sources.source import Episode, Skipped, Source, SourceError, Unit
from gr1_core.data.dataset_writer import binary_column

_VERSION = 1
_VECTOR = pa.list_(pa.float32(), 7)


@dataclass(frozen=True)
class Converted:
    """An episode as a part holds it: `images` are Arrow columns; pictures: role -> `stats.of_pictures`; looks: see `episode_quality.look`."""

    episode: Episode
    pictures: Mapping[str, Mapping]
    looks: Mapping[str, Any]


def made_of(source: Source, unit: Unit) -> str:
    """What a part of this unit must say of itself to be up to date."""
    said = {
        "version": _VERSION,
        "unit": unit.key,
        "fingerprint": unit.fingerprint,
        "origin": source.origin,
        "fps": source.fps,
    }
    said |= {"settings": source.settings, "rig": source.rig and source.rig.to_dict(), "shapes": source.shapes}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def path_of(folder: Path, key: str) -> Path:
    return folder / f"{key}.arrow"


def origin_of(path: Path) -> str | None:
    """What a part says it was made of (see `made_of`); None if it is missing or not whole."""
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as part:
            return part.schema.metadata[b"made_of"].decode()
    except (OSError, pa.ArrowInvalid):
        return None


def write(source: Source, unit: Unit, folder: Path) -> str:
    """Converts one unit. Returns "" or why it was skipped."""
    with atomic_write.replacing(path_of(folder, unit.key)) as partial:
        try:
            _write(source, made_of(source, unit), partial, source.read(unit))
            return ""
        except SourceError as error:
            # With an origin that matches nothing, so that the next run tries again.
            _write(source, "", partial, [Skipped(unit.key, str(error))])
            return str(error)


def read(path: Path) -> Iterator[Converted | Skipped]:
    """What a part holds, in its order. An episode's pictures are only valid until the next one is asked for."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as part:
        number = 0
        while number < part.num_record_batches:
            first = part.get_batch_with_custom_metadata(number)
            said = json.loads(first.custom_metadata[b"gr1"])
            batches = [first.batch] + [
                part.get_batch(number + more) for more in range(1, said.pop("batches"))
            ]
            number += len(batches)
            yield (
                Skipped(**said["skipped"])
                if "skipped" in said
                else _converted(pa.Table.from_batches(batches), said)
            )


def _write(source: Source, made: str, path: Path, found: Iterable[Episode | Skipped]) -> None:
    fields = {role: pa.binary() for role in source.shapes} | (
        {"state": _VECTOR, "action": _VECTOR} if source.rig else {}
    )
    schema = pa.schema(fields, {"made_of": made})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as part:
        for item in found:
            if isinstance(item, Skipped):
                said = {"skipped": {"name": item.name, "reason": item.reason, "intended": item.intended}}
                batches = [
                    pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
                ]
            else:
                said, batches = _describe(item, source), _table(item, schema).to_batches()
            for index, batch in enumerate(batches):
                about = {"gr1": json.dumps(said | {"batches": len(batches)})} if index == 0 else None
                part.write_batch(batch, custom_metadata=about)


def _describe(episode: Episode, source: Source) -> dict:
    _check(episode, source)
    try:
        pictures = {role: stats.of_pictures(encoded) for role, encoded in episode.images.items()}
        looks = episode_quality.look(episode)
    except images.ImageError as error:
        raise SourceError(f"{episode.name}: {error}") from error
    return {
        "name": episode.name,
        "task": episode.task,
        "info": episode.info,
        "pictures": pictures,
        "looks": looks,
    }


def _table(episode: Episode, schema: pa.Schema) -> pa.Table:
    columns = {role: binary_column(encoded) for role, encoded in episode.images.items()}
    vectors = {"state": episode.state, "action": episode.action} if "state" in schema.names else {}
    columns |= {
        name: pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=_VECTOR)
        for name, values in vectors.items()
    }
    return pa.table([columns[name] for name in schema.names], schema)


def _converted(table: pa.Table, said: dict) -> Converted:
    def vectors(name: str) -> np.ndarray | None:
        if name not in table.column_names:
            return None
        return np.concatenate([chunk.flatten().to_numpy() for chunk in table[name].chunks]).reshape(-1, 7)

    roles = [name for name in table.column_names if name not in ("state", "action")]
    episode = Episode(
        said["name"],
        said["task"],
        {role: table[role] for role in roles},
        vectors("state"),
        vectors("action"),
        said["info"],
    )
    return Converted(episode, said["pictures"], said["looks"])


def _check(episode: Episode, source: Source) -> None:
    """Refuses an episode that would spoil the data set: pictures that are cut off or of another size, numbers that are not finite."""
    lengths = {role: len(encoded) for role, encoded in episode.images.items()}
    if source.rig:
        lengths |= {"state": len(episode.state), "action": len(episode.action)}
    if (
        len(set(lengths.values())) != 1
        or 0 in lengths.values()
        or episode.images.keys() != source.shapes.keys()
    ):
        raise SourceError(f"{episode.name}: the streams do not have the same number of steps: {lengths}")
    for role, encoded in episode.images.items():
        for step, data in enumerate(encoded):
            try:
                _check_picture(data, source.shapes[role])
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
                f"{episode.name}: {name} of step {wrong.argmax()} is not finite: {values[wrong.argmax()].tolist()}"
            )


def _check_picture(data: bytes, shape: tuple[int, int]) -> None:
    height, width = images.size(data)
    if (height, width) != tuple(shape):
        raise images.ImageError(f"{width}x{height} pixels, expected {shape[1]}x{shape[0]}")
    if not data.endswith((b"\xff\xd9", b"\xaeB`\x82")):
        images.decode(data)  # some cameras pad behind the end mark; what is cut off does not decode
