"""Trials in the twin, played by parallel worker processes; one policy answers all that wait in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from gr1_core.eval.batch import BatchPolicy
from gr1_core.eval.environment import Outcome, SimulationError, TrialSettings, serve_trials
from gr1_core.policy import Action, Observation
from gr1_core.sim.suites import Trial

OnAction = Callable[[Trial, int, Observation, Action], None]


class _Worker:
    """A process with an environment. trial: the one it plays now; step: number of its actions so far."""

    def __init__(self, settings: TrialSettings, context):
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve_trials, args=(theirs, settings), daemon=True)
        self.process.start()
        theirs.close()
        self.trial: Trial | None = None
        self.step = 0

    def start_trial(self, trial: Trial) -> None:
        self.trial, self.step = trial, 0
        self.send(trial)

    def send(self, message) -> None:
        try:
            self.connection.send(message)
        except OSError as error:
            raise self._ended_error() from error

    def receive(self):
        """The next message: the fields of an observation, or an Outcome."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended_error() from error
        if isinstance(message, str):
            raise SimulationError(f"no episode from the simulation: {message}")
        return message

    def _ended_error(self) -> SimulationError:
        self.process.join()
        played = f"{self.trial.scene} with seed {self.trial.seed}"
        return SimulationError(
            f"the process that played {played} ended with code {self.process.exitcode}: if it ran out of memory, use fewer --workers"
        )

    def close(self) -> None:
        self.connection.close()


def run_trials(
    trials: Sequence[Trial], settings: TrialSettings, policy: BatchPolicy | None, workers: int, on_action: OnAction | None = None
) -> Iterator[Outcome]:
    """Plays all trials; yields their outcomes in the order in which they end.

    policy: None where settings.expert. on_action: called with each trial, step (from 0), observation and action.
    Raises SimulationError where the simulation cannot run, PolicyError for an action that is not finite.
    """
    waiting = list(trials)
    context = get_context("spawn")  # an OpenGL context does not survive a fork
    crew: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(workers, len(waiting))):
            worker = _Worker(settings, context)
            crew[worker.connection] = worker
        for worker in crew.values():
            _start_next(worker, waiting, crew, policy)
        while busy := [connection for connection, worker in crew.items() if worker.trial]:
            asking: dict[_Worker, Observation] = {}
            for connection in wait(busy):
                worker = crew[connection]
                message = worker.receive()
                if isinstance(message, Outcome):
                    yield message
                    _start_next(worker, waiting, crew, policy)
                else:
                    asking[worker] = Observation(**message)
            if asking:
                _answer(asking, policy, on_action)
    finally:
        for worker in crew.values():
            worker.close()
        for worker in crew.values():
            worker.process.join()


def _start_next(
    worker: _Worker, waiting: list[Trial], crew: dict[Connection, _Worker], policy: BatchPolicy | None
) -> None:
    """Gives a worker its next trial: one with its present objects, else with objects that no other worker has, else any."""
    if policy and worker.trial:
        policy.end_rollout(worker)
    before, worker.trial = worker.trial, None
    if not waiting:
        return
    taken = {other.trial.objects for other in crew.values() if other.trial}
    trial = next((trial for trial in waiting if before and trial.objects == before.objects), None)
    trial = trial or next((trial for trial in waiting if trial.objects not in taken), waiting[0])
    waiting.remove(trial)
    if policy:
        policy.start_rollout(worker, trial.instruction)
    worker.start_trial(trial)


def _answer(asking: dict[_Worker, Observation], policy: BatchPolicy, on_action: OnAction | None) -> None:
    actions = policy.act(asking)
    for worker, action in actions.items():
        # As the policy node commands it: closure 0 open, 1 closed.
        worker.send((action.delta, 0.0 if action.gripper > 0 else 1.0))
    for worker, action in actions.items():
        if on_action:
            on_action(worker.trial, worker.step, asking[worker], action)
        worker.step += 1
