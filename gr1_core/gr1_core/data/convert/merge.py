"""Joins the parts into the data set: written aside, moved into place at the end, and only then are the parts removed.

However often it is interrupted, the next run gives the same bytes: it starts anew from the parts.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from gr1_core import atomic_write
from gr1_core.data.convert import parts, plan
from gr1_core.data.convert.plan import ConvertError, Plan
from gr1_core.data.convert.progress import Progress
from gr1_core.data.convert.report.page import Report
from gr1_core.data.convert.sources.source import Skipped
from gr1_core.data.dataset_writer import DatasetWriter

# meta comes last: its info.json is what makes the folder a data set.
_FOLDERS = ("data", "report", "meta")


@dataclass(frozen=True)
class Summary:
    """What a data set holds. skipped: damaged, left_out: as asked, each a list of (name, reason). source_bytes: read in this run."""

    root: Path
    kind: str
    episodes: int
    frames: int
    fps: int
    skipped: list[tuple[str, str]]
    left_out: list[tuple[str, str]]
    source_bytes: int = 0

    @property
    def report(self) -> Path:
        return self.root / "report" / "index.html"


def merge(out: Path, progress: bool = True) -> Summary:
    """All parts of the plan in OUT -> the data set in OUT. Refuses while parts are missing. Raises ConvertError."""
    out = Path(out)
    if plan.is_complete(out):
        return finish(out)
    if not plan.path_of(out).is_file():
        raise ConvertError(
            f"nothing to merge in {out}: it has no parts; run `gr1 convert bags|... SRC --out {out}` first"
        )
    with plan.room(out), plan.locked(out, shared=False):
        return merge_locked(out, progress)


def merge_locked(out: Path, progress: bool) -> Summary:
    the_plan, folder, partial = Plan.load(out), plan.folder_of(out), out / ".partial"
    paths = [parts.path_of(folder, key) for key in the_plan.units]
    missing = [path.stem for path in paths if parts.origin_of(path) is None]
    if missing:
        raise ConvertError(
            f"{len(missing)} of {len(paths)} parts are missing in {folder} (the first is {missing[0]}): run the other shards first"
        )
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    rig, shapes = the_plan.as_rig(), {role: tuple(shape) for role, shape in the_plan.shapes.items()}
    meta = {
        "kind": the_plan.kind,
        "source": the_plan.origin,
        "settings": the_plan.settings,
        "skipped": [],
        "left_out": [],
    }
    writer, report = (
        DatasetWriter(partial, the_plan.fps, shapes, rig, meta),
        Report(the_plan.origin, the_plan.fps, shapes, rig),
    )
    with Progress("merge", sum(path.stat().st_size for path in paths), progress) as bar:
        for path in paths:
            for item in parts.read(path):
                if isinstance(item, Skipped):
                    reason = item.reason.removeprefix(f"{item.name}: ")
                    writer.meta["left_out" if item.intended else "skipped"].append(
                        {"name": item.name, "reason": reason}
                    )
                else:
                    writer.add(item.episode, item.pictures)
                    report.add(item.episode, item.looks)
            bar.advance(path.stat().st_size)
    if not writer.episodes:
        shutil.rmtree(partial)
        raise ConvertError(_nothing(writer.meta))
    report.write(partial / "report" / "index.html", writer.meta["skipped"], writer.meta["left_out"])
    writer.close()
    for name in _FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
        os.replace(partial / name, out / name)
    atomic_write.sync_folder(out)
    return finish(out)


def finish(out: Path) -> Summary:
    """Removes what a complete data set no longer needs, and says what it holds. The plan goes last: it says whose parts these were."""
    folder = plan.folder_of(out)
    if plan.path_of(out).is_file():
        for path in folder.iterdir():
            if path != plan.path_of(out):
                path.unlink()
        plan.path_of(out).unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    shutil.rmtree(out / ".partial", ignore_errors=True)
    info, said = (json.loads((out / "meta" / name).read_text()) for name in ("info.json", "gr1.json"))
    lists = [[(entry["name"], entry["reason"]) for entry in said[name]] for name in ("skipped", "left_out")]
    return Summary(out, said["kind"], info["total_episodes"], info["total_frames"], info["fps"], *lists)


def _nothing(meta: dict) -> str:
    damaged, left_out = meta["skipped"], meta["left_out"]
    if damaged:
        lines = [f"  {entry['name']}: {entry['reason']}" for entry in damaged[:10]]
        return "\n".join([f"nothing could be converted, all {len(damaged)} are damaged:", *lines])
    return f"nothing to convert: {len(left_out)} left out" + (
        f", the first: {left_out[0]['name']}: {left_out[0]['reason']}"
        if left_out
        else ", the source is empty"
    )
