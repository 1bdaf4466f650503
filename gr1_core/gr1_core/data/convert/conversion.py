"""From a source to a data set: worker processes turn units into parts, which are kept when the run is interrupted; then they are joined.

A run that is killed at any moment, resumed, split over machines or run with another number of workers gives the same bytes.
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
    """What one shard has done: parts made now, parts that were there already, the defects (texts) of the units it skipped."""

    root: Path
    made: int
    kept: int
    skipped: list[str]
    source_bytes: int


def convert(
    source: Source, out: Path, workers: int = 2, shard: tuple[int, int] | None = None, progress: bool = True
) -> Summary | Shard:
    """The whole source -> the data set `out`; with shard (i, n), 0 <= i < n: only every n-th unit, as parts in `out`.

    A complete data set is not overwritten. Raises ConvertError, SourceError or RigError.
    """
    out, units = Path(out), source.units()
    the_plan = Plan.of(source, units)
    if plan.is_complete(out):
        return _after_completion(out, the_plan)
    if not units:
        raise SourceError("the source holds nothing to convert")
    plan.check_place(out)
    _refuse_strangers(out)
    with plan.room(out), plan.locked(out, shared=shard is not None):
        _settle(the_plan, out, shard)
        mine = units[shard[0] :: shard[1]] if shard else units
        done = _make_parts(source, mine, out, workers, progress)
        return (
            done
            if shard
            else dataclasses.replace(merging.merge_locked(out, progress), source_bytes=done.source_bytes)
        )


def _after_completion(out: Path, the_plan: Plan) -> Summary:
    """A run that was killed between its last two steps has only to be tidied up; any other must not touch the data set."""
    folder = plan.folder_of(out)
    if folder.is_dir():
        before = Plan.load(out)
        if before.same_as(the_plan) if before else not any(folder.iterdir()):
            return merging.finish(out)
    raise ConvertError(
        f"{out} is a complete data set already: choose another --out, or delete it to convert again"
    )


def _refuse_strangers(out: Path) -> None:
    # Listed before the plan is looked for: another shard's parts appear only after its plan.
    strangers = plan.strangers(out)
    if strangers and Plan.load(out) is None:
        raise ConvertError(
            f"{out} is not empty ({strangers[0]} is in it) and holds no conversion: give a new folder"
        )


def _settle(the_plan: Plan, out: Path, shard: tuple[int, int] | None) -> None:
    """The plan in place; parts of units that are gone from the source do not stay."""
    folder, before = plan.folder_of(out), Plan.load(out)
    if before and shard and not before.same_as(the_plan):
        gone = sorted(set(before.units) ^ set(the_plan.units))
        what = (
            f"unit '{gone[0]}' is in one of them only"
            if gone
            else "options, rig or order of the units differ"
        )
        raise ConvertError(
            f"{folder} was begun from another source or with other options ({what}): delete it, or give all shards the same"
        )
    the_plan.save(out)
    if not shard:
        keep = {parts.path_of(folder, key) for key in the_plan.units} | {plan.path_of(out), folder / "lock"}
        for path in set(folder.iterdir()) - keep:
            path.unlink()


def _make_parts(source: Source, units: list[Unit], out: Path, workers: int, progress: bool) -> Shard:
    folder, skipped = plan.folder_of(out), []
    todo = [
        unit
        for unit in units
        if parts.origin_of(parts.path_of(folder, unit.key)) != parts.made_of(source, unit)
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
    """Makes the parts; yields each unit when it is done, and its defect. One worker, or one unit, needs no other process."""
    workers = min(workers, len(units))
    if workers <= 1:
        yield from ((unit, parts.write(source, unit, folder)) for unit in units)
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
            "a worker process was killed, most often for want of memory: run the same command again with fewer --workers; "
            f"the {kept} parts in {folder} are kept"
        ) from None
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_worker(source: Source) -> None:
    """Runs first in each worker process. Ctrl-C is the parent's affair, and no worker outlives it."""
    global _source
    _source = source
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    import cv2

    cv2.setNumThreads(1)


def _die_with_parent() -> None:
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _convert_unit(unit: Unit, folder: Path) -> str:
    return parts.write(_source, unit, folder)
