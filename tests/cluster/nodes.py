"""A Dask cluster of processes on this machine: one scheduler, and workers that stand for machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import eventually

REPOSITORY = Path(__file__).parents[2]
_START_S = 90.0


class Nodes:
    """A scheduler. `start` adds a worker, which nothing restarts when it dies, as a machine that fails."""

    def __init__(self, folder: Path, allowed_failures: int = 3):
        """folder: for logs. allowed_failures: deaths of workers after which a unit is given up."""
        self._folder, self._file = folder, folder / "scheduler.json"
        self._environment = os.environ | {
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
        }
        self.workers: list[subprocess.Popen] = []
        options = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(self._file)]
        self._scheduler = self._dask("scheduler", *options, "--no-dashboard")
        eventually(self._file.is_file, "the scheduler's file", _START_S)
        self.address = json.loads(self._file.read_text())["address"]

    def start(self, threads: int = 1, path: Path | None = None) -> subprocess.Popen:
        """Starts a worker and returns its process. path: is searched for packages before all others."""
        environment = self._environment
        if path:
            environment = environment | {"PYTHONPATH": f"{path}{os.pathsep}{environment['PYTHONPATH']}"}
        words = [self.address, "--nthreads", str(threads), "--no-nanny", "--no-dashboard"]
        worker = self._dask("worker", *words, "--memory-limit", "0", environment=environment)
        self.workers.append(worker)
        log = self._log(worker)
        eventually(lambda: "Registered to:" in log.read_text(), f"a registered worker, {log}", _START_S)
        return worker

    def refill(self, count: int = 2) -> None:
        """Starts workers until `count` of them live."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        for _ in range(count - len(self.workers)):
            self.start()

    def close(self) -> None:
        for process in (*self.workers, self._scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def _dask(self, *words: str, environment=None) -> subprocess.Popen:
        with open(self._folder / "starting.log", "w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self._folder, env=environment or self._environment,
            )  # fmt: skip
        (self._folder / "starting.log").rename(self._log(process))
        return process

    def _log(self, process: subprocess.Popen) -> Path:
        return self._folder / f"{process.pid}.log"
