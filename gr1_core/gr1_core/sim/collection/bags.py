"""Many simulated episodes, in several processes, into bags: `gr1 collect sim`. Can be interrupted and goes on
where it was.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

from gr1_core.data import metadata
from gr1_core.data.bag import Bag, BagError
from gr1_core.data.bag_writer import lock_recording
from gr1_core.rig import Rig
from gr1_core.sim.collection.bag_recording import EpisodeRecorder, topics
from gr1_core.sim.suites import TRAINING_SEEDS_END
from gr1_core.sim.tasks import parse_task_names


class CollectError(ValueError):
    """Simulated episodes that cannot be recorded."""


@dataclass(frozen=True)
class EpisodeSpec:
    """One episode to record: a seed's layout of a task."""

    task: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task}_{self.seed:06d}"


def plan(tasks: str, episodes: int, seed: int) -> list[EpisodeSpec]:
    """Every task with the first seed, then with the next, `episodes` in all. tasks: "all" or names separated
    by commas.

    Raises ValueError for unknown tasks, CollectError for seeds that are kept for tests.
    """
    names = parse_task_names(tasks)
    last = seed + (episodes - 1) // len(names)
    if last >= TRAINING_SEEDS_END:
        rounds = f"{len(names)} task{'s' if len(names) > 1 else ''} in turn from seed {seed}"
        raise CollectError(
            f"{episodes} episodes, {rounds}, reach seed {last}: from {TRAINING_SEEDS_END} on they are kept for tests; "
            "choose a lower --seed, or fewer --episodes"
        )
    return [
        EpisodeSpec(names[number % len(names)], seed + number // len(names)) for number in range(episodes)
    ]


def collect(
    takes: Sequence[EpisodeSpec], out: Path, rig: Rig, kind: str = "jpeg", workers: int = 1
) -> Iterator[tuple[EpisodeSpec, bool, bool]]:
    """Records the episodes that are not there yet; yields (take, success, new) as they become whole, first
    those that were there.

    kind: "jpeg" or "raw" pictures. An episode that was cut off is made again: a seed always gives the same.
    Raises BagError where a bag of that name was recorded with other settings, CollectError where the
    simulation cannot run.
    """
    outcomes = {take: _outcome(out / take.name, rig, kind) for take in takes}
    for take, outcome in outcomes.items():
        if outcome:
            yield take, outcome == "success", False
    waiting = [take for take, outcome in outcomes.items() if not outcome]
    if not waiting:
        return
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CollectError(
            f"--out {out} cannot be made ({error.strerror}): choose a folder that you may write to"
        ) from error
    context = get_context("spawn")  # an OpenGL context does not survive a fork
    stop = context.Event()
    crew = ProcessPoolExecutor(min(workers, len(waiting)), context, _start, (rig, kind, stop))
    try:
        running: dict[Future, EpisodeSpec] = {
            crew.submit(_record, out / take.name, take.task, take.seed): take for take in waiting
        }
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                take = running.pop(future)
                yield take, future.result(), True
    except RuntimeError as error:
        raise CollectError(f"no episodes from the simulation: {error}") from error
    finally:
        stop.set()
        crew.shutdown(cancel_futures=True)
        with suppress(OSError):  # a folder in which something was recorded stays
            for folder in new:
                folder.rmdir()


def _outcome(folder: Path, rig: Rig, kind: str) -> str:
    """Of a whole bag with these settings; "" if there is none, or a recovered one, and then nothing is left
    in its place.
    """
    if (folder / metadata.FILE).is_file():
        bag = Bag(folder)
        if bag.rig != rig:
            raise BagError(
                f"{folder} was recorded with another rig than '{rig.name}' is now: choose another --out"
            )
        if bag.topics != topics(kind):
            raise BagError(
                f"{folder} was recorded with other topics than --images {kind} gives: choose another --out"
            )
        if bag.outcome != "unfinished":
            return bag.outcome
        (folder / metadata.FILE).unlink()
    if folder.is_dir():
        for path in folder.glob("*.mcap"):
            with open(path, "rb") as stream:
                lock_recording(stream, path)
                path.unlink()
        folder.rmdir()
    return ""


# In a worker process

_work: dict = {}


def _start(rig: Rig, kind: str, stop) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process says when to stop
    _work.update(rig=rig, kind=kind, stop=stop)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent_process().join()
    os._exit(1)


def _record(folder: Path, task: str, seed: int) -> bool:
    if _work["stop"].is_set():
        raise KeyboardInterrupt
    if "studio" not in _work:
        _work["studio"] = EpisodeRecorder(_work["rig"], _work["kind"])
    success, _ = _work["studio"].record(folder, task, seed, _work["stop"].is_set)
    return success
