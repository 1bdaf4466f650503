"""The plan of a conversion: OUT/parts/plan.json names the units in their order, so that a merge needs nothing of the source."""

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
    """A conversion that cannot go on: the text says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """Everything a merge needs beside the parts. units: keys in the order of the data set."""

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
                f"unit '{wrong[0]}': two units have this name, or it is not safe as a file name: rename it in the source"
            )
        rig = source.rig.to_dict() if source.rig else None
        shapes = {role: list(shape) for role, shape in source.shapes.items()}
        return cls(source.kind, source.origin, source.fps, rig, shapes, dict(source.settings), keys)

    @classmethod
    def load(cls, out: Path) -> Plan | None:
        """The plan in OUT/parts, None if there is none."""
        try:
            return cls(**json.loads(path_of(out).read_text()))
        except FileNotFoundError:
            return None
        except (TypeError, json.JSONDecodeError) as error:
            raise ConvertError(
                f"{path_of(out)} is damaged ({error}): delete {folder_of(out)} and convert again"
            ) from error

    def save(self, out: Path) -> None:
        atomic_write.write_json(path_of(out), asdict(self), indent=None)

    def as_rig(self) -> Rig | None:
        return Rig.from_dict(self.rig, "rig of the plan") if self.rig else None

    def same_as(self, other: Plan) -> bool:
        return json.loads(json.dumps(asdict(self))) == json.loads(json.dumps(asdict(other)))


def folder_of(out: Path) -> Path:
    return out / "parts"


def path_of(out: Path) -> Path:
    return folder_of(out) / "plan.json"


def is_complete(out: Path) -> bool:
    return (out / "meta" / "info.json").is_file()


def strangers(out: Path) -> list[str]:
    """What lies in OUT although no conversion has begun there."""
    here, parts = (list(folder.iterdir()) if folder.is_dir() else [] for folder in (out, folder_of(out)))
    inside = [path.name for path in parts if path.name != "lock" and path.suffix != ".partial"]
    return sorted(path.name for path in here if path != folder_of(out) or not path.is_dir()) + sorted(inside)


def check_place(out: Path, source: Path | None = None) -> None:
    """Refuses, before anything is written, a place that is no data set's: inside its source, inside a recorded bag, a file."""
    here = out.resolve()
    if source is not None and here.is_relative_to(source.resolve()):
        raise ConvertError(
            f"--out {out} lies inside the source {source}, which stays as it is: choose a folder elsewhere"
        )
    try:
        for folder in (here, *here.parents):
            if folder.is_file():
                raise ConvertError(f"--out {out}: {folder} is a file: choose a folder")
            if (folder / metadata.FILE).is_file() and any(folder.glob("*.mcap")):
                raise ConvertError(
                    f"--out {out} lies inside the recorded bag {folder}: choose a folder elsewhere"
                )
    except OSError as error:
        raise ConvertError(
            f"--out {out} cannot be used ({error.strerror}): choose a folder that you may write to"
        ) from error


@contextmanager
def room(out: Path) -> Iterator[None]:
    """A full disk says which one, how much is needed and that nothing is lost."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ConvertError(
            f"no space left on the disk of {out}: joining the parts needs the data set's size twice; "
            "make room and give the same command again, it goes on from here"
        ) from error


@contextmanager
def locked(out: Path, shared: bool) -> Iterator[None]:
    """Shards may work side by side; whoever merges or converts everything is alone. The lock ends with the process, however it ends."""
    try:
        folder_of(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ConvertError(
            f"--out {out} cannot be made ({error.strerror}): choose a folder that you may write to"
        ) from error
    with open(folder_of(out) / "lock", "w") as file:
        # Not by `filelock`: its locks have no shared mode over several machines.
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConvertError(f"another gr1 convert is at work on {out}: wait for it to end") from None
        yield
