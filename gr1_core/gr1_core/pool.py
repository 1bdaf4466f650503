"""Independent units of work in several processes: of this machine, or of a cluster (gr1_core.cluster).

Conversion and the collection commands use it. They say what a unit is, how one is run and how a finished one
is recognised; processes, interruption and the end of a worker are handled here.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import active_children, connection, get_context, parent_process
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gr1_core.cluster import Cluster


class PoolError(ValueError):
    """A worker process ended in the middle of a unit."""


class UnitRunner(Protocol):
    """Runs units one after the other, in one thread."""

    def run(self, unit: Any) -> Any:
        """Runs a unit. The same unit may be run again after its worker died."""

    def close(self) -> None:
        """Releases what it holds."""


class Work(Protocol):
    """One kind of work; picklable, and small: every worker gets a copy.

    name: of the kind, letters only. checks_stop: whether `run` polls `stopped`, so that an interruption can
    wait for its clean end.
    """

    name: str
    checks_stop: bool

    def open(self) -> UnitRunner:
        """In the worker, once: loads what all units need."""

    def label(self, unit: Any) -> str:
        """What errors call the unit."""


def run_units(
    work: Work, units: Iterable[Any], workers: int, cluster: Cluster | None = None
) -> Iterator[tuple[Any, Any]]:
    """Runs units; yields (unit, result) in the order in which they end.

    units: taken one at a time, when a worker is free. workers: processes of this machine; 0 runs the units in
    this process. cluster: runs them there instead. An error of a unit is raised as it is. Raises PoolError
    where a process of this machine dies, ClusterError where the cluster cannot go on.
    """
    if cluster:
        return cluster.run(work, units)
    return _run_in_processes(work, units, workers) if workers else _run_here(work, units)


_stop: Any = None


def stopped() -> bool:
    """In a worker: whether the run was interrupted, so that the unit may end with KeyboardInterrupt."""
    return _stop is not None and _stop.is_set()


def set_stop_event(event: Any) -> None:
    """In a worker: the event (of threading or multiprocessing) that `stopped` asks."""
    global _stop
    _stop = event


def _run_here(work: Work, units: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    runner = work.open()
    try:
        for unit in units:
            yield unit, runner.run(unit)
    finally:
        runner.close()


def _run_in_processes(work: Work, units: Iterable[Any], workers: int) -> Iterator[tuple[Any, Any]]:
    context = get_context("spawn")  # neither an OpenGL context nor a simulator's client survives a fork
    stop, before, left = context.Event(), set(active_children()), iter(units)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (work, stop))
    running: dict[Future, Any] = {}
    try:
        while True:
            for unit in islice(left, workers - len(running)):
                running[pool.submit(_run_in_worker, unit)] = unit
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool:
        raise PoolError(
            "a worker process was killed, most often because memory ran out: run the same command again with "
            "fewer --workers"
        ) from None
    except BaseException:
        stop.set()
        if not work.checks_stop:
            for child in set(active_children()) - before:
                child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


# In a worker process

_runner: UnitRunner
_work: Work | None = None


def _start_worker(work: Work, stop: Any) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process says when to stop
    if work.checks_stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    set_stop_event(stop)
    _work = work


def _exit_with_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)


def _run_in_worker(unit: Any) -> Any:
    global _runner, _work
    if stopped():
        raise KeyboardInterrupt
    if _work:
        _runner, _work = _work.open(), None  # its errors reach the caller, unlike those of an initializer
    return _runner.run(unit)
