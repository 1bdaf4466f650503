"""Jobs played by parallel worker processes; one policy answers all workers that wait for an action in one
forward pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from gr1_core.eval.batch import BatchPolicy
from gr1_core.eval.worker_process import Begin, Failure, Finished, WorkerError, serve_jobs
from gr1_core.policy import Action, Observation

OnAction = Callable[[Any, int, Observation, Action], None]
Choose = Callable[[Sequence[Any], Any, Sequence[Any]], int]
"""(waiting jobs, the worker's job before or None, jobs of the other workers) -> index of the waiting job to
run next.
"""


class _Worker:
    """A process with an environment. job: the one it runs now; part: of it, or the job itself.

    step: number of its actions so far.
    """

    def __init__(self, settings: Any, context, error: type[WorkerError]):
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve_jobs, args=(theirs, settings), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Any = None
        self.part: Any = None
        self.step = 0
        self.has_rollout = False
        self._error = error

    def start_job(self, job: Any) -> None:
        self.job, self.part, self.step = job, job, 0
        self.send(job)

    def start_part(self, part: Any) -> None:
        self.part, self.step = part, 0

    def send(self, message) -> None:
        try:
            self.connection.send(message)
        except OSError as error:
            raise self._ended_error() from error

    def receive(self):
        """The next message: Begin, the fields of an observation, or Finished."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended_error() from error
        if isinstance(message, Failure):
            raise self._error(f"no episode from the simulation: {self.part}: {message.text}")
        return message

    def _ended_error(self) -> WorkerError:
        self.process.join()
        return self._error(
            f"the process that played {self.part} ended with code {self.process.exitcode}: if it ran out "
            "of memory, use fewer --workers"
        )

    def close(self) -> None:
        self.connection.close()


def run_jobs(
    jobs: Sequence[Any],
    settings: Any,
    policy: BatchPolicy | None,
    workers: int,
    on_action: OnAction | None = None,
    choose: Choose = lambda *_: 0,
    error: type[WorkerError] = WorkerError,
) -> Iterator[Any]:
    """Runs all jobs; yields their outcomes in the order in which they end.

    jobs: str(job) names it in errors. settings: pickled to the workers, which call settings.environment().
    policy: None where the environment acts by itself. on_action: called with each job (or the part of it that
    Begin named), its step (from 0), observation and action. Raises `error` where the simulation cannot run,
    PolicyError for an action that is not finite.
    """
    waiting = list(jobs)
    context = get_context("spawn")  # neither an OpenGL context nor a simulator's client survives a fork
    crew: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(workers, len(waiting))):
            worker = _Worker(settings, context, error)
            crew[worker.connection] = worker
        for worker in crew.values():
            _start_next(worker, waiting, crew, policy, choose)
        cores, asking = len(os.sched_getaffinity(0)), {}
        while busy := [connection for connection, worker in crew.items() if worker.job is not None]:
            running = [connection for connection in busy if crew[connection] not in asking]
            # One pass of the model for several costs less than one for each, as long as no core waits for it.
            if asking and len(running) < cores:
                _answer(asking, policy, on_action)
                asking.clear()
                continue
            for connection in wait(running):
                worker = crew[connection]
                message = worker.receive()
                if isinstance(message, Begin):
                    if message.part is not None:
                        worker.start_part(message.part)
                    if policy:
                        policy.start_rollout(worker, message.instruction)
                        worker.has_rollout = True
                elif isinstance(message, Finished):
                    yield message.outcome
                    _start_next(worker, waiting, crew, policy, choose)
                else:
                    asking[worker] = Observation(**message)
    finally:
        for worker in crew.values():
            worker.close()
        for worker in crew.values():
            worker.process.join()


def _start_next(
    worker: _Worker,
    waiting: list,
    crew: dict[Connection, _Worker],
    policy: BatchPolicy | None,
    choose: Choose,
) -> None:
    if worker.has_rollout:
        policy.end_rollout(worker)
        worker.has_rollout = False
    before, worker.job = worker.job, None
    if waiting:
        running = [other.job for other in crew.values() if other.job is not None]
        worker.start_job(waiting.pop(choose(waiting, before, running)))


def _answer(asking: dict[_Worker, Observation], policy: BatchPolicy, on_action: OnAction | None) -> None:
    actions = policy.act(asking)
    for worker, action in actions.items():
        worker.send((action.delta, float(action.gripper)))
    for worker, action in actions.items():
        if on_action:
            on_action(worker.part, worker.step, asking[worker], action)
        worker.step += 1
