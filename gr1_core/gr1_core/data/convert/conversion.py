"""Converts a source to a dataset: worker processes turn units into parts, which survive an interruption; then
they are joined.

A run that is killed, resumed, split over machines or run with another number of workers gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path

from gr1_core.data.convert import merge as merging
from gr1_core.data.convert import parts, plan
from gr1_core.data.convert.merge import Summary
from gr1_core.data.convert.plan import ConvertError, Plan
from gr1_core.data.convert.progress import Progress
from gr1_core.data.convert.sources.source import Source, SourceError, Unit


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
    source: Source, out: Path, workers: int = 2, shard: tuple[int, int] | None = None, progress: bool = True
) -> Summary | Shard:
    """Converts the whole source to the dataset `out`; with shard (i, n), 0 <= i < n, only every n-th unit, to
    parts in `out`.

    A complete dataset is not overwritten. Raises ConvertError, SourceError or RigError.
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
        done = _make_parts(source, mine, out, workers, progress)
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


def _make_parts(source: Source, units: list[Unit], out: Path, workers: int, progress: bool) -> Shard:
    folder, skipped = plan.parts_folder(out), []
    todo = [
        unit
        for unit in units
        if parts.part_origin(parts.part_path(folder, unit.key)) != parts.expected_origin(source, unit)
    ]
    size, left = (sum(unit.bytes for unit in some) for some in (units, todo))
    with Progress("convert", size, progress) as bar:
        bar.advance(size - left)
        for unit, defect in _converted(source, todo, folder, workers):
            if defect:
                skipped.append(defect)
                bar.skip(defect)
            bar.advance(unit.bytes)
    return Shard(out, len(todo), len(units) - len(todo), skipped, left)


def _converted(source: Source, units: list[Unit], folder: Path, workers: int) -> Iterator[tuple[Unit, str]]:
    """Makes the parts; yields each finished unit with its defect or "".

    A single worker runs in this process.
    """
    workers = min(workers, len(units))
    if workers <= 1:
        yield from ((unit, parts.write_part(source, unit, folder)) for unit in units)
        return
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _prepare_worker, (source,))
    try:
        running = {pool.submit(_convert_unit, unit, folder): unit for unit in units}
        for future in as_completed(running):
            yield running.pop(future), future.result()
    except BrokenProcessPool:
        kept = len(list(folder.glob("*.arrow")))
        raise ConvertError(
            "a worker process was killed, most often because memory ran out: run the same command again with "
            "fewer --workers; "
            f"the {kept} parts in {folder} are kept"
        ) from None
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_worker(source: Source) -> None:
    """Initialises a worker process: it ignores Ctrl-C, which the parent handles, and ends with the parent."""
    global _source
    _source = source
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    import cv2

    cv2.setNumThreads(1)


def _exit_with_parent() -> None:
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _convert_unit(unit: Unit, folder: Path) -> str:
    return parts.write_part(_source, unit, folder)
