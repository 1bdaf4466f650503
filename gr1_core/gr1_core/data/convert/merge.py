"""Joins the parts into the dataset.

It is written aside and moved into place at the end; then the parts are removed.

After an interruption the next run starts again from the parts and gives the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gr1_core import atomic_write
from gr1_core.data.convert import parts, plan
from gr1_core.data.convert.kept import KeptShare
from gr1_core.data.convert.plan import ConvertError, Plan
from gr1_core.data.convert.progress import Progress
from gr1_core.data.convert.report.page import Report
from gr1_core.data.convert.sources.source import Skipped
from gr1_core.data.dataset_writer import DatasetWriter

_MOST_REASONS = 5
# meta comes last: its info.json completes the dataset.
_FOLDERS = ("data", "report", "meta")


@dataclass(frozen=True)
class Summary:
    """Contents of a dataset. skipped: damaged episodes, left_out: excluded by options, changed: converted
    with
    a problem, lists of (name, reason).

    kept: see `KeptShare.to_dict`. findings: titles of the report's. source_bytes: read in this run.
    """

    root: Path
    kind: str
    episodes: int
    frames: int
    fps: int
    skipped: list[tuple[str, str]]
    left_out: list[tuple[str, str]]
    changed: list[tuple[str, str]]
    kept: Mapping[str, Any]
    findings: list[str]
    source_bytes: int = 0

    @property
    def kept_little(self) -> bool:
        """Whether less than half of what was there is in the dataset."""
        return 2 * self.kept["steps"] < self.kept["of"]

    @property
    def report(self) -> Path:
        return self.root / "report" / "index.html"


def merge(out: Path, progress: bool = True) -> Summary:
    """All parts of the plan in OUT -> the dataset in OUT.

    Raises ConvertError, e.g. while parts are missing.
    """
    out = Path(out)
    if plan.is_complete(out):
        return finish(out)
    if not plan.plan_path(out).is_file():
        raise ConvertError(
            f"nothing to merge in {out}: it has no parts; run `gr1 convert bags|... SRC --out {out}` first"
        )
    with plan.disk_full_explained(out), plan.conversion_lock(out, shared=False):
        return merge_locked(out, progress)


def merge_locked(out: Path, progress: bool) -> Summary:
    """`merge` under a lock that the caller holds."""
    the_plan, folder, partial = Plan.load(out), plan.parts_folder(out), out / ".partial"
    paths = [parts.part_path(folder, key) for key in the_plan.units]
    missing = [path.stem for path in paths if parts.part_origin(path) is None]
    if missing:
        raise ConvertError(
            f"{len(missing)} of {len(paths)} parts are missing in {folder} (the first is {missing[0]}): run "
            "the other shards first"
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
        "changed": [],
    }
    writer, report = (
        DatasetWriter(partial, the_plan.fps, shapes, rig, meta),
        Report(the_plan.origin, the_plan.fps, shapes, rig),
    )
    kept = KeptShare()
    with Progress("merge", sum(path.stat().st_size for path in paths), progress) as bar:
        for path in paths:
            for item in parts.read_part(path):
                if isinstance(item, Skipped):
                    kept.add(item)
                    reason = item.reason.removeprefix(f"{item.name}: ")
                    writer.meta["left_out" if item.intended else "skipped"].append(
                        {"name": item.name, "reason": reason}
                    )
                else:
                    before = writer.frames
                    writer.add_episode(item.episode, item.image_statistics)
                    kept.add(item.episode, writer.frames - before)
                    if problems := item.episode.info.get("problems"):
                        writer.meta["changed"].append(
                            {"name": item.episode.name, "reason": "; ".join(problems)}
                        )
                    report.add_episode(item.episode, item.preview)
            bar.advance(path.stat().st_size)
    if not writer.episodes:
        shutil.rmtree(partial)
        raise ConvertError(_nothing_text(writer.meta))
    writer.meta["kept"] = kept.to_dict()
    writer.meta["findings"] = report.write_page(
        partial / "report" / "index.html", writer.meta["skipped"], writer.meta["left_out"]
    )
    writer.close()
    for name in _FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
        os.replace(partial / name, out / name)
    atomic_write.sync_folder(out)
    return finish(out)


def finish(out: Path) -> Summary:
    """Removes the leftovers of a complete dataset and summarises it.

    The plan goes last: it identifies the parts.
    """
    folder = plan.parts_folder(out)
    if plan.plan_path(out).is_file():
        for path in folder.iterdir():
            if path != plan.plan_path(out):
                path.unlink()
        plan.plan_path(out).unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    shutil.rmtree(out / ".partial", ignore_errors=True)
    info, meta = (json.loads((out / "meta" / name).read_text()) for name in ("info.json", "gr1.json"))
    lists = (
        [(entry["name"], entry["reason"]) for entry in meta[name]]
        for name in ("skipped", "left_out", "changed")
    )
    totals = info["total_episodes"], info["total_frames"], info["fps"]
    return Summary(out, meta["kind"], *totals, *lists, meta["kept"], meta["findings"])


def _nothing_text(meta: dict) -> str:
    damaged, left_out = meta["skipped"], meta["left_out"]
    if damaged:
        alike: dict[str, list[dict]] = {}
        for entry in damaged:  # the same defect of other files is told once
            alike.setdefault(re.sub(r"\d+", "#", entry["reason"]), []).append(entry)
        lines = [
            f"  {first['name']}{f' and {len(others)} more' * bool(others)}: {first['reason']}"
            for first, *others in list(alike.values())[:_MOST_REASONS]
        ]
        if len(alike) > _MOST_REASONS:
            lines.append(f"  and {len(alike) - _MOST_REASONS} other reasons")
        return "\n".join([f"nothing could be converted, none of {len(damaged)} can be used:", *lines])
    return f"nothing to convert: {len(left_out)} left out" + (
        f", the first: {left_out[0]['name']}: {left_out[0]['reason']}"
        if left_out
        else ", the source is empty"
    )
