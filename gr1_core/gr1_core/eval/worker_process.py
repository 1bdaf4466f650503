"""A worker's side of an evaluation: runs jobs, asks for each action over a connection, returns outcomes.

No torch here.

Messages to the main process: Begin (a rollout starts), a dictionary (the fields of an Observation; an action
is awaited), Finished or Failure (the job's end). Messages to the worker: a job, (delta f64[6], gripper +1
open or -1 closed), None (no more jobs).
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np


class WorkerError(ValueError):
    """A job could not be run."""


@dataclass(frozen=True)
class Begin:
    """A rollout starts: the policy's history is cleared and its instruction set.

    part: of the job, if it has several: what the main process then reports instead of the job, with steps
    counted from 0 again.
    """

    instruction: str
    part: Any = None


@dataclass(frozen=True)
class Finished:
    outcome: Any


@dataclass(frozen=True)
class Failure:
    """A job could not be run. text: what happened, without the job's name."""

    text: str


class RemotePolicy:
    """The policy in the main process, as an environment sees it."""

    def __init__(self, connection: Connection):
        self._connection = connection

    def begin(self, instruction: str, part: Any = None) -> None:
        """Starts a rollout with this instruction and an empty history. part: see Begin."""
        self._connection.send(Begin(instruction, part))

    def act(self, observation: Mapping) -> tuple[np.ndarray, float]:
        """observation: the fields of an Observation.

        Returns delta f64[6] and the gripper's command, +1 open or -1 closed.
        """
        self._connection.send(observation)
        return self._connection.recv()

    def check(self) -> None:
        """Raises EOFError once the main process has closed the connection: for environments that act by
        themselves.
        """
        if self._connection.poll():
            self._connection.recv()


class JobEnvironment(Protocol):
    def run(self, job: Any, policy: RemotePolicy) -> Any:
        """Runs a job to its end; returns its outcome."""

    def close(self) -> None:
        """Releases what the environment holds."""


def serve_jobs(connection: Connection, settings: Any) -> None:
    """Main function of a worker: makes settings.environment() and runs jobs until None or the end of the
    connection.
    """
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all processes; the parent decides when to stop
    environment: JobEnvironment | None = None
    try:
        while (job := connection.recv()) is not None:
            try:
                environment = environment or settings.environment()
                answer = Finished(environment.run(job, RemotePolicy(connection)))
            except (EOFError, ConnectionError):
                raise
            except Exception as error:
                answer = Failure(str(error) or repr(error))
            connection.send(answer)
    except (EOFError, ConnectionError):
        pass  # the parent has ended or closed the connection
    finally:
        if environment:
            environment.close()
