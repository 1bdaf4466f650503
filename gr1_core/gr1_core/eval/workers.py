"""Trials in the twin: as many environments at once as there are workers, and one policy that serves all that wait in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from gr1_core.eval.batch import BatchPolicy
from gr1_core.eval.environment import Outcome, Play, SimulationError, serve
from gr1_core.policy import Action, Observation
from gr1_core.sim.suites import Trial

Watch = Callable[[Trial, int, Observation, Action], None]


class _Worker:
    """A process with an environment. trial: what it plays now; step: how many actions it has had of it."""

    def __init__(self, play: Play, context):
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, play), daemon=True)
        self.process.start()
        theirs.close()
        self.trial: Trial | None = None
        self.step = 0

    def give(self, trial: Trial) -> None:
        self.trial, self.step = trial, 0
        self.send(trial)

    def send(self, message) -> None:
        try:
            self.connection.send(message)
        except OSError as error:
            raise self._gone() from error

    def take(self):
        """The next message: an observation's fields or an Outcome."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if isinstance(message, str):
            raise SimulationError(f"no episode from the simulation: {message}")
        return message

    def _gone(self) -> SimulationError:
        self.process.join()
        played = f"{self.trial.scene} with seed {self.trial.seed}"
        return SimulationError(
            f"the process that played {played} ended with code {self.process.exitcode}: out of memory? Fewer --workers need less"
        )

    def end(self) -> None:
        self.connection.close()


def run(
    trials: Sequence[Trial], play: Play, policy: BatchPolicy | None, workers: int, watch: Watch | None = None
) -> Iterator[Outcome]:
    """Plays all trials; yields their outcomes as they come.

    policy: None where play.expert. watch: is shown each action with its trial, its step from 0 and what it answers.
    Raises SimulationError where the simulation cannot run, PolicyError for an action that is not finite.
    """
    waiting = list(trials)
    context = get_context("spawn")  # an OpenGL context does not survive a fork
    crew: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(workers, len(waiting))):
            worker = _Worker(play, context)
            crew[worker.connection] = worker
        for worker in crew.values():
            _next(worker, waiting, crew, policy)
        while busy := [connection for connection, worker in crew.items() if worker.trial]:
            asking: dict[_Worker, Observation] = {}
            for connection in wait(busy):
                worker = crew[connection]
                message = worker.take()
                if isinstance(message, Outcome):
                    yield message
                    _next(worker, waiting, crew, policy)
                else:
                    asking[worker] = Observation(**message)
            if asking:
                _answer(asking, policy, watch)
    finally:
        for worker in crew.values():
            worker.end()
        for worker in crew.values():
            worker.process.join()


def _next(
    worker: _Worker, waiting: list[Trial], crew: dict[Connection, _Worker], policy: BatchPolicy | None
) -> None:
    """Gives a worker its next trial: one with the things that it has before it, else with things that nobody has, else any."""
    if policy and worker.trial:
        policy.end(worker)
    before, worker.trial = worker.trial, None
    if not waiting:
        return
    taken = {other.trial.props for other in crew.values() if other.trial}
    trial = next((trial for trial in waiting if before and trial.props == before.props), None)
    trial = trial or next((trial for trial in waiting if trial.props not in taken), waiting[0])
    waiting.remove(trial)
    if policy:
        policy.begin(worker, trial.instruction)
    worker.give(trial)


def _answer(asking: dict[_Worker, Observation], policy: BatchPolicy, watch: Watch | None) -> None:
    actions = policy.act(asking)
    for worker, action in actions.items():
        # As the policy node says it: a closure of 0 open or 1 closed.
        worker.send((action.delta, 0.0 if action.gripper > 0 else 1.0))
    for worker, action in actions.items():
        if watch:
            watch(worker.trial, worker.step, asking[worker], action)
        worker.step += 1
