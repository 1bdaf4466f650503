"""Converts a source to a dataset: worker processes turn units into parts, which survive an interruption; then
they are joined.

A run that is killed, resumed, split over machines or run with another number of workers gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gr1_core.data.convert import merge as merging
from gr1_core.data.convert import parts, plan
from gr1_core.data.convert.merge import Summary
from gr1_core.data.convert.plan import ConvertError, Plan
from gr1_core.data.convert.progress import Progress
from gr1_core.data.convert.sources.source import Source, SourceError, Unit
from gr1_core.plural import plural
from gr1_core.pool import PoolError, run_units

if TYPE_CHECKING:
    from gr1_core.cluster import Cluster

_SEEN_WITHIN_S = 60.0  # a network file system may show another machine's file this late


@dataclass(frozen=True)
class Shard:
    """Result of one shard.

    made: parts made now. kept: parts that existed already. skipped: defects of skipped units, as texts.
    """

    root: Path
    made: int
    kept: int
    skipped: list[str]
    source_bytes: int


def convert(
    source: Source,
    out: Path,
    workers: int = 2,
    shard: tuple[int, int] | None = None,
    progress: bool = True,
    cluster: Cluster | None = None,
) -> Summary | Shard:
    """Converts the whole source to the dataset `out`; with shard (i, n), 0 <= i < n, only every n-th unit, to
    parts in `out`.

    workers: processes of this machine; cluster: makes the parts there instead, where the source's paths must
    be absolute. A complete dataset is not overwritten. Raises ConvertError, SourceError, RigError or
    ClusterError.
    """
    out, units = Path(out), source.units()
    the_plan = Plan.of(source, units)
    if plan.is_complete(out):
        return _after_completion(out, the_plan)
    if not units:
        raise SourceError("the source holds nothing to convert")
    plan.check_output_folder(out)
    _refuse_unknown_files(out)
    with plan.disk_full_explained(out), plan.conversion_lock(out, shared=shard is not None):
        _save_plan(the_plan, out, shard)
        mine = units[shard[0] :: shard[1]] if shard else units
        done = _make_parts(source, mine, out, workers, progress, cluster)
        return (
            done
            if shard
            else dataclasses.replace(merging.merge_locked(out, progress), source_bytes=done.source_bytes)
        )


def _after_completion(out: Path, the_plan: Plan) -> Summary:
    """Finishes a run that was killed between its last two steps. Any other run must not touch the dataset."""
    folder = plan.parts_folder(out)
    if folder.is_dir():
        before = Plan.load(out)
        if before.same_as(the_plan) if before else not any(folder.iterdir()):
            return merging.finish(out)
    raise ConvertError(
        f"{out} is a complete dataset already: choose another --out, or delete it to convert again"
    )


def _refuse_unknown_files(out: Path) -> None:
    # Listed before the plan is read: another shard's parts appear only after its plan.
    unknown = plan.unknown_files(out)
    if unknown and Plan.load(out) is None:
        raise ConvertError(
            f"{out} is not empty ({unknown[0]} is in it) and holds no conversion: give a new folder"
        )


def _save_plan(the_plan: Plan, out: Path, shard: tuple[int, int] | None) -> None:
    """Saves the plan and removes parts of units that the source no longer has."""
    folder, before = plan.parts_folder(out), Plan.load(out)
    if before and shard and not before.same_as(the_plan):
        gone = sorted(set(before.units) ^ set(the_plan.units))
        what = (
            f"unit '{gone[0]}' is in one of them only"
            if gone
            else "options, rig or order of the units differ"
        )
        raise ConvertError(
            f"{folder} was begun from another source or with other options ({what}): delete it, or give all "
            "shards the same"
        )
    the_plan.save(out)
    if not shard:
        keep = {parts.part_path(folder, key) for key in the_plan.units} | {
            plan.plan_path(out),
            folder / "lock",
        }
        for path in set(folder.iterdir()) - keep:
            path.unlink()


def _make_parts(
    source: Source, units: list[Unit], out: Path, workers: int, progress: bool, cluster: Cluster | None
) -> Shard:
    folder, skipped = plan.parts_folder(out), []
    todo = [unit for unit in units if not _is_made(source, unit, folder)]
    size, left = (sum(unit.bytes for unit in some) for some in (units, todo))
    if cluster and todo:
        cluster.require(writes=[folder])
    work = _Conversion(source, Path(os.path.abspath(folder)))
    workers = min(workers, len(todo))
    with Progress("convert", size, progress) as bar:
        bar.advance(size - left)
        try:
            for unit, defect in run_units(work, todo, workers if workers > 1 else 0, cluster):
                if defect:
                    skipped.append(defect)
                    bar.skip(defect)
                bar.advance(unit.bytes)
        except PoolError as error:
            kept = len(list(folder.glob("*.arrow")))
            raise ConvertError(f"{error}; {plural(kept, 'part')} in {folder} kept") from None
    if cluster:
        _wait_for_parts(todo, folder)
    return Shard(out, len(todo), len(units) - len(todo), skipped, left)


def _is_made(source: Source, unit: Unit, folder: Path) -> bool:
    return parts.part_origin(parts.part_path(folder, unit.key)) == parts.expected_origin(source, unit)


def _wait_for_parts(units: list[Unit], folder: Path) -> None:
    """Until this machine sees all parts that others have written."""
    missing, until = (
        {parts.part_path(folder, unit.key).name for unit in units},
        time.monotonic() + _SEEN_WITHIN_S,
    )
    while missing := missing - set(os.listdir(folder)):
        if time.monotonic() > until:
            raise ConvertError(
                f"{plural(len(missing), 'part')} of the workers did not appear in {folder} (the first is "
                f"{min(missing)}): is it the same folder on all machines? The same command continues"
            )
        time.sleep(0.2)


@dataclass(frozen=True)
class _Conversion:
    """Units -> parts in `folder`; the result of a unit is its defect or ""."""

    source: Source
    folder: Path
    name = "convert"
    checks_stop = False  # a part appears by a rename, so a worker may end at any moment

    def open(self) -> _Conversion:
        import cv2

        cv2.setNumThreads(1)
        return self

    def label(self, unit: Unit) -> str:
        return f"unit '{unit.key}'"

    def run(self, unit: Unit) -> str:
        return parts.write_part(self.source, unit, self.folder)

    def close(self) -> None:
        """Nothing is held."""
