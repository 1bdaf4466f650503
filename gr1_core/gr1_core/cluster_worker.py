"""The side of a Dask worker: keeps the work of a run, compares itself with the client once, runs units."""

from __future__ import annotations

import pickle
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distributed import WorkerPlugin, get_worker

from gr1_core import pool
from gr1_core.cluster_facts import ABSENT, collect_facts, differing_versions

SOURCE = collect_facts([])["source"]
"""Digest of gr1_core's source when this process loaded it: the files may change while a worker runs."""


class WorkerRefused(ValueError):
    """This worker is not as the client requires."""


@dataclass
class _Run:
    """work: pickled. expected: see `find_problem`. runner: once a unit has run here."""

    work: bytes
    expected: Mapping
    stop: threading.Event
    runner: pool.UnitRunner | None = None


_runs: dict[str, _Run] = {}
_open_run = ""


class RunPlugin(WorkerPlugin):
    """Brings the work of a run to every worker, also to those that start later; its end stops the run."""

    def __init__(self, run_id: str, work: bytes, expected: Mapping):
        self.name, self._work, self._expected = run_id, work, expected

    def setup(self, worker) -> None:
        _runs[self.name] = _Run(self._work, self._expected, threading.Event())

    def teardown(self, worker) -> None:
        if run := _runs.pop(self.name, None):
            run.stop.set()


def dask_setup(worker) -> None:
    """Called by Dask in the workers of local:N: Ctrl-C reaches all processes, and the client decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def find_problem(expected: Mapping, facts: Mapping) -> str:
    """What makes a worker with these facts unusable; "" if nothing does.

    expected: {"versions", "reads": path -> digest, "tokens": paths}. facts: of `collect_facts`.
    """
    if problem := differing_versions(expected["versions"], facts["versions"]):
        return problem
    for path, digest in expected["reads"].items():
        if facts["seen"][path] == ABSENT:
            return f"does not see {path}: put it into a folder that all machines share, under one path"
        if facts["seen"][path] != digest:
            return f"sees another {path} than this machine: put it into a folder that all machines share"
    for path in expected["tokens"]:
        if facts["seen"][path] == ABSENT:
            folder = path.rpartition("/")[0]
            return f"does not see {folder} of this machine: choose a folder that all machines share"
    return ""


def run_unit(run_id: str, unit: Any) -> Any:
    """Runs a unit in the worker's only task thread. Raises WorkerRefused, or what the unit raises."""
    global _open_run
    run = _runs.get(run_id)
    if run is None:
        raise KeyboardInterrupt  # the run has ended meanwhile
    if run.runner is None:
        if before := _runs.get(_open_run):
            _close(before)
        _require_same(run.expected)
        pool.set_stop_event(run.stop)
        run.runner, _open_run = pickle.loads(run.work).open(), run_id
    return run.runner.run(unit)


def close_run(run_id: str) -> None:
    """Closes what a run holds here."""
    if run := _runs.get(run_id):
        _close(run)


def _close(run: _Run) -> None:
    runner, run.runner = run.runner, None
    if runner:
        runner.close()


def _require_same(expected: Mapping) -> None:
    """Once more for this worker: it may have joined after the client's check of all."""
    worker = get_worker()
    facts = collect_facts([*expected["reads"], *expected["tokens"]])
    problem = find_problem(expected, facts)
    if worker.state.nthreads != 1:
        problem = f"runs {worker.state.nthreads} units at once: start it with --nthreads 1"
    if problem:
        raise WorkerRefused(f"worker {worker.address} on {facts['host']}: {problem}")
