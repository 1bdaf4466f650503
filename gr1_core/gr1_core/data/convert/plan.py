"""The plan of a conversion: OUT/parts/plan.json lists the units in order, so that a merge does not need the
source.
"""

from __future__ import annotations

import errno
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from gr1_core import atomic_write
from gr1_core.data import metadata
from gr1_core.data.convert.sources.source import SAFE_KEY, Source, SourceError, Unit
from gr1_core.rig import Rig


class ConvertError(ValueError):
    """A conversion that cannot continue. The message names the cause and the remedy."""


@dataclass(frozen=True)
class Plan:
    """Everything that a merge needs besides the parts. units: keys in the order of the dataset."""

    kind: str
    origin: str
    fps: int
    rig: dict | None
    shapes: dict[str, list[int]]
    settings: dict
    units: list[str]

    @classmethod
    def of(cls, source: Source, units: list[Unit]) -> Plan:
        keys = [unit.key for unit in units]
        wrong = [key for key in keys if not SAFE_KEY.fullmatch(key)] or [
            key for key, next_key in zip(sorted(keys), sorted(keys)[1:]) if key == next_key
        ]
        if wrong:
            raise SourceError(
                f"unit '{wrong[0]}': two units have this name, or it is not a safe file name: rename it in "
                "the source"
            )
        rig = source.rig.to_dict() if source.rig else None
        shapes = {role: list(shape) for role, shape in source.shapes.items()}
        return cls(source.kind, source.origin, source.fps, rig, shapes, dict(source.settings), keys)

    @classmethod
    def load(cls, out: Path) -> Plan | None:
        """The plan in OUT/parts, None if there is none."""
        try:
            return cls(**json.loads(plan_path(out).read_text()))
        except FileNotFoundError:
            return None
        except (TypeError, json.JSONDecodeError) as error:
            raise ConvertError(
                f"{plan_path(out)} is damaged ({error}): delete {parts_folder(out)} and convert again"
            ) from error

    def save(self, out: Path) -> None:
        atomic_write.write_json(plan_path(out), asdict(self), indent=None)

    def as_rig(self) -> Rig | None:
        return Rig.from_dict(self.rig, "rig of the plan") if self.rig else None

    def same_as(self, other: Plan) -> bool:
        return json.loads(json.dumps(asdict(self))) == json.loads(json.dumps(asdict(other)))


def parts_folder(out: Path) -> Path:
    return out / "parts"


def plan_path(out: Path) -> Path:
    return parts_folder(out) / "plan.json"


def is_complete(out: Path) -> bool:
    return (out / "meta" / "info.json").is_file()


def unknown_files(out: Path) -> list[str]:
    """Names of files in OUT that no conversion has made."""
    here, parts = (list(folder.iterdir()) if folder.is_dir() else [] for folder in (out, parts_folder(out)))
    inside = [path.name for path in parts if path.name != "lock" and path.suffix != ".partial"]
    return sorted(path.name for path in here if path != parts_folder(out) or not path.is_dir()) + sorted(
        inside
    )


def check_output_folder(out: Path, source: Path | None = None) -> None:
    """Raises ConvertError if OUT is a file or lies inside the source or inside a recorded bag."""
    here = out.resolve()
    if source is not None and here.is_relative_to(source.resolve()):
        raise ConvertError(
            f"--out {out} lies inside the source {source}, which stays as it is: choose a folder elsewhere"
        )
    try:
        for folder in (here, *here.parents):
            if folder.is_file():
                raise ConvertError(f"--out {out}: {folder} is a file: choose a folder")
            if (folder / metadata.METADATA_FILE).is_file() and any(folder.glob("*.mcap")):
                raise ConvertError(
                    f"--out {out} lies inside the recorded bag {folder}: choose a folder elsewhere"
                )
    except OSError as error:
        raise ConvertError(
            f"--out {out} cannot be used ({error.strerror}): choose a folder that you may write to"
        ) from error


@contextmanager
def disk_full_explained(out: Path) -> Iterator[None]:
    """Turns the error of a full disk into a ConvertError that names the disk and the space needed."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ConvertError(
            f"no space left on the disk of {out}: joining the parts needs twice the size of the dataset; "
            "make room and run the same command again, it continues"
        ) from error


@contextmanager
def conversion_lock(out: Path, shared: bool) -> Iterator[None]:
    """Locks the conversion: shared for shards, exclusive for a merge or a full conversion.

    The lock ends with the process.
    """
    try:
        parts_folder(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ConvertError(
            f"--out {out} cannot be made ({error.strerror}): choose a folder that you may write to"
        ) from error
    with open(parts_folder(out) / "lock", "w") as file:
        # Not by `filelock`: its locks have no shared mode over several machines.
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConvertError(f"another gr1 convert is running on {out}: wait until it has ended") from None
        yield
