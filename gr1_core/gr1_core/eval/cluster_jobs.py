"""Jobs of an evaluation on a cluster: each worker has the policy and an environment, and a job is a unit.

On one machine the workers only simulate and one policy answers all (gr1_core.eval.workers); over a network
the frames of every step would have to travel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gr1_core.eval.worker_process import WorkerError
from gr1_core.policy import Action, Observation, Policy, PolicyError
from gr1_core.pool import stopped

if TYPE_CHECKING:
    from gr1_core.cluster import Cluster
    from gr1_core.eval.batch import BatchPolicy

_ROLLOUT = "rollout"


class Observer(Protocol):
    """Notes something about every action: in the worker; the notes are then added to those of the client."""

    def on_action(self, part: Any, step: int, observation: Observation, action: Action) -> None: ...

    def take_notes(self, job: Any) -> Any:
        """What it has noted since the last job, which has ended; picklable."""

    def add_notes(self, notes: Any) -> None:
        """Adds the notes of an observer of the same kind."""


@dataclass(frozen=True)
class ClusterJobs:
    """Where jobs are played. checkpoint: None where the environment acts by itself.

    precision: of the policy in every worker; "auto" measures and could choose another one in each. observe:
    makes the observer in a worker; observer: the one here, which gets all notes.
    """

    cluster: Cluster
    checkpoint: Path | None
    precision: str = ""
    observe: Callable[[Policy], Observer] | None = None
    observer: Observer | None = None

    def run(self, jobs: Sequence[Any], settings: Any, error: type[WorkerError]) -> Iterator[Any]:
        """Yields the outcomes as `gr1_core.eval.workers.run_jobs` does. settings: with absolute paths."""
        checkpoint = Path(os.path.abspath(self.checkpoint)) if self.checkpoint else None
        self.cluster.require([checkpoint] if checkpoint else [])
        observe = self.observe if self.observer else None
        work = _Rollouts(settings, checkpoint, self.precision, observe, error)
        for _, (outcome, notes) in self.cluster.run(work, jobs):
            if self.observer:
                self.observer.add_notes(notes)
            yield outcome


@dataclass(frozen=True)
class _Rollouts:
    """Jobs -> (outcome, the observer's notes)."""

    settings: Any
    checkpoint: Path | None
    precision: str
    observe: Callable[[Policy], Observer] | None
    error: type[WorkerError]
    name = "evaluate"
    checks_stop = True

    def open(self) -> _Runner:
        return _Runner(self)

    def label(self, job: Any) -> str:
        return str(job)


class _Runner:
    def __init__(self, work: _Rollouts):
        self._error, self._policy, self._observer = work.error, None, None
        if work.checkpoint:
            # Before OpenGL: Mesa's LLVM crashed where torch was loaded after it.
            import torch

            from gr1_core.eval.batch import BatchPolicy

            torch.set_num_threads(1)  # as many workers as cores
            self._policy = BatchPolicy.from_pretrained(work.checkpoint, precision=work.precision)
            self._observer = work.observe(self._policy) if work.observe else None
        try:
            self._environment = work.settings.environment()
        except Exception as error:
            raise self._error(f"no episode from the simulation: {error or repr(error)}") from error

    def run(self, job: Any) -> tuple[Any, Any]:
        player = _Player(job, self._policy, self._observer)
        try:
            outcome = self._environment.run(job, player)
        except PolicyError:
            raise
        except Exception as error:
            raise self._error(
                f"no episode from the simulation: {player.part}: {error or repr(error)}"
            ) from error
        finally:
            player.end()
        return outcome, self._observer.take_notes(job) if self._observer else None

    def close(self) -> None:
        self._environment.close()


class _Player:
    """The policy as an environment sees it (see `worker_process.RemotePolicy`), in the same process."""

    def __init__(self, job: Any, policy: BatchPolicy | None, observer: Observer | None):
        self.part = self._job = job
        self._policy, self._observer = policy, observer
        self._step, self._playing = 0, False

    def begin(self, instruction: str, part: Any = None) -> None:
        if part is not None:
            self.part, self._step = part, 0
        if self._policy:
            self._policy.start_rollout(_ROLLOUT, instruction)
            self._playing = True

    def act(self, observation: Mapping) -> tuple[np.ndarray, float]:
        self.check()
        seen = Observation(**observation)
        action = self._policy.act({_ROLLOUT: seen})[_ROLLOUT]
        if self._observer:
            self._observer.on_action(self.part, self._step, seen, action)
        self._step += 1
        return action.delta, float(action.gripper)

    def check(self) -> None:
        """Raises KeyboardInterrupt once the run was interrupted."""
        if stopped():
            raise KeyboardInterrupt

    def end(self) -> None:
        if self._playing:
            self._policy.end_rollout(_ROLLOUT)
