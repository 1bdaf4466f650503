"""Independent units of work on a Dask cluster, for `--cluster ADDRESS`. Needs the extra gr1_core[cluster].

The same units, results and resuming as with processes of this machine (gr1_core.pool). A worker that dies
costs the unit that it ran once more; Dask's own count ends a unit that kills worker after worker. At most one
unit per worker is handed to the scheduler, so that no worker holds units that wait.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import secrets
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from distributed import Client, KilledWorker, LocalCluster, wait

from gr1_core import cluster_worker
from gr1_core.cluster_facts import ABSENT, by_value, collect_facts, differing_versions
from gr1_core.pool import Work

CONNECT_TIMEOUT_S = 5.0
_CHECK_PERIOD_S = 2.0
_NOTICE_AFTER_S = 10.0
_LOCAL = "local:"


class ClusterError(ValueError):
    """A cluster that cannot be used, or cannot go on."""


class Cluster:
    """A connection to a Dask scheduler and what all of its workers must have. A context manager.

    Raises ClusterError where no scheduler answers, or a worker differs from this process: by versions, by
    gr1_core's source, by a folder that it does not see, by several threads.
    """

    def __init__(self, address: str):
        """address: tcp://HOST:PORT, a scheduler file that ends in .json, or local:N for N local workers."""
        self.address, self._exit = address, ExitStack()
        self._reads: dict[str, str] = {}
        self._tokens: list[str] = []
        try:
            self._client = self._exit.enter_context(_connect(address, self._exit))
            self._wait_for_workers()
            self._check_workers()
        except BaseException:
            self._exit.close()
            raise
        hosts = len({name.partition("://")[2].rpartition(":")[0] for name in self._threads()})
        _say(
            f"cluster {self._client.scheduler.address}: {_count(self._slots(), 'worker')} on "
            f"{_count(hosts, 'machine')}; dashboard {self._client.dashboard_link}"
        )

    def require(self, reads: Iterable[Path] = (), writes: Iterable[Path] = ()) -> None:
        """Raises ClusterError unless every worker sees these files and folders.

        reads: must have the same content there, by the names in a folder, or a file's size. writes: folders
        that exist; a file that is made in each until the end shows that it is the same folder.
        """
        mine = collect_facts([os.path.abspath(path) for path in reads])["seen"]
        if missing := [path for path, seen in mine.items() if seen == ABSENT]:
            raise ClusterError(f"{missing[0]} does not exist")
        self._reads |= mine
        tokens = [Path(os.path.abspath(one)) / f".gr1-cluster-{secrets.token_hex(8)}" for one in writes]
        try:
            for token in tokens:
                token.touch()
                self._tokens.append(str(token))
            self._check_workers()
        except BaseException:
            for token in tokens:
                token.unlink(missing_ok=True)
            raise
        for token in tokens:
            self._exit.callback(token.unlink, missing_ok=True)

    def run(self, work: Work, units: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """See `gr1_core.pool.run_units`."""
        run_id, left, exhausted = f"{work.name}-{uuid.uuid4().hex}", iter(units), False
        finished: queue.SimpleQueue = queue.SimpleQueue()
        running: dict[str, tuple[Any, Any]] = {}
        killers: list[tuple[str, KilledWorker]] = []
        plugin = cluster_worker.RunPlugin(run_id, pickle.dumps(work), self._expected())
        self._client.register_plugin(plugin, name=run_id)
        try:
            while True:
                slots = max(1, self._slots())
                while not exhausted and len(running) < slots:
                    try:
                        unit = next(left)
                    except StopIteration:
                        exhausted = True
                        break
                    key = f"gr1-{work.name}-{uuid.uuid4().hex}"
                    future = self._client.submit(cluster_worker.run_unit, run_id, unit, key=key, pure=False)
                    running[key] = future, unit
                    future.add_done_callback(finished.put)
                if not running:
                    break
                key = self._next_finished(finished)
                future, unit = running.pop(key)
                if future.status == "finished":
                    yield unit, future.result()
                    continue
                error = future.exception() if future.status == "error" else None
                if isinstance(error, KilledWorker):
                    killers.append((work.label(unit), error))
                    continue
                raise self._explained(error, work.label(unit))
            if killers:
                raise _killed(killers)
            self._release(run_id)
        finally:
            with suppress(Exception):  # a scheduler that is gone has nothing to cancel
                self._client.cancel([future for future, _ in running.values()])
                self._client.unregister_worker_plugin(run_id)  # which also sets the stop event of the run

    def close(self) -> None:
        self._exit.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _expected(self) -> dict:
        return {
            "versions": collect_facts([])["versions"],
            "reads": self._reads,
            "tokens": self._tokens,
        }

    def _threads(self) -> dict[str, int]:
        """Address of each worker -> its threads."""
        return self._client.nthreads()

    def _slots(self) -> int:
        return len(self._threads())

    def _wait_for_workers(self) -> None:
        told, began = False, time.monotonic()
        while not self._slots():
            if not told and time.monotonic() - began > _CHECK_PERIOD_S:
                _say(f"cluster {self.address} has no worker yet; waiting (start some: {_start_hint(self)})")
                told = True
            time.sleep(0.1)

    def _check_workers(self) -> None:
        """Raises ClusterError that names the first worker that differs, and how."""
        for worker, threads in self._threads().items():
            if threads != 1:
                raise ClusterError(
                    f"worker {worker} runs {threads} units at once in one process, which simulators and "
                    f"OpenGL do not allow: start it with {_start_hint(self)}"
                )
        # First without a function of ours, which another Python could not run.
        versions = self._client.get_versions()
        mine = _versions(versions["client"])
        for worker, answer in versions["workers"].items():
            if problem := differing_versions(mine, _versions(answer)):
                raise ClusterError(f"worker {worker}: {problem}")
        expected = self._expected()
        paths = [*self._reads, *self._tokens]
        answers = self._client.run(by_value(collect_facts), paths, on_error="return")
        for worker, facts in answers.items():
            if isinstance(facts, BaseException):
                raise ClusterError(f"worker {worker} cannot be asked about its versions: {facts!r}")
            if problem := cluster_worker.find_problem(expected, facts):
                raise ClusterError(f"worker {worker} on {facts['host']}: {problem}")

    def _next_finished(self, finished: queue.SimpleQueue) -> str:
        """The key of the next unit that ended."""
        alone = 0.0
        while True:
            try:
                return finished.get(timeout=_CHECK_PERIOD_S).key
            except queue.Empty:
                if self._client.status != "running":
                    raise self._lost() from None
                alone = 0.0 if self._slots() else alone + _CHECK_PERIOD_S
                if alone == _NOTICE_AFTER_S:
                    _say(f"cluster {self.address} has no worker left; waiting for one")

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"the scheduler {self.address} has ended or cannot be reached any more; what is complete is "
            "kept, and the same command continues with another one"
        )

    def _explained(self, error: BaseException | None, label: str) -> BaseException:
        """The error to raise for a unit that failed."""
        if error is None:
            return self._lost()
        if isinstance(error, ValueError | OSError | KeyboardInterrupt):
            return error
        if isinstance(error, ModuleNotFoundError):
            self._check_workers()
            return ClusterError(f"{label}: a worker lacks the Python package {error.name}: install it there")
        return ClusterError(f"{label} failed on a worker: {type(error).__name__}: {error}")

    def _release(self, run_id: str) -> None:
        """Closes what the workers hold, in the threads that opened it."""
        closing = [
            self._client.submit(
                cluster_worker.close_run,
                run_id,
                workers=[worker],
                pure=False,
                key=f"gr1-close-{uuid.uuid4().hex}",
            )
            for worker in self._threads()
        ]
        with suppress(Exception):  # a worker that has ended holds nothing
            wait(closing, timeout=10)


def _connect(address: str, exit_stack: ExitStack):
    # What they report about workers that come and go is told here, in a line.
    for name in ("distributed", "distributed.nanny", "distributed.scheduler", "distributed.worker"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address.startswith(_LOCAL):
        number = address.removeprefix(_LOCAL)
        if not number.isdigit() or int(number) < 1:
            raise ClusterError(f"--cluster {address}: give a number of local workers, e.g. local:2")
        cluster = LocalCluster(
            n_workers=int(number),
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address="localhost:0",
            silence_logs=logging.CRITICAL,
            preload=[cluster_worker.__name__],
        )
        return Client(exit_stack.enter_context(cluster))
    named = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    if "scheduler_file" in named and not Path(address).is_file():
        raise ClusterError(f"--cluster {address}: there is no such scheduler file")
    try:
        return Client(**named, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"--cluster {address}: no Dask scheduler answers there within {CONNECT_TIMEOUT_S:g} s ({error}): "
            "start one with `dask scheduler`, and give the address that it prints, e.g. tcp://10.0.0.1:8786"
        ) from error


def _killed(killers: list[tuple[str, KilledWorker]]) -> ClusterError:
    label, error = killers[0]
    more = f" and {len(killers) - 1} more" if len(killers) > 1 else ""
    return ClusterError(
        f"{label}{more}: {_count(error.allowed_failures + 1, 'worker')} died in the middle of it, one after "
        f"the other, the last was {error.last_worker.address}; most often memory runs out. All other units "
        "are complete"
    )


def _versions(answer: Mapping) -> dict[str, str]:
    """Python's and Dask's versions of an answer of Client.get_versions."""
    python = ".".join(str(dict(answer["host"])["python"]).split(".")[:2])
    return {"python": python, "distributed": answer["packages"]["distributed"]}


def _start_hint(cluster: Cluster) -> str:
    return f"`dask worker {cluster.address} --nworkers N --nthreads 1`"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _say(text: str) -> None:
    print(f"gr1: {text}", file=sys.stderr, flush=True)
