"""Trials in the twin, played by parallel workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gr1_core.eval import workers as worker_pool
from gr1_core.eval.batch import BatchPolicy
from gr1_core.eval.cluster_jobs import ClusterJobs
from gr1_core.eval.environment import Outcome, SimulationError, TrialSettings
from gr1_core.eval.workers import OnAction
from gr1_core.sim.suites import Trial


def run_trials(
    trials: Sequence[Trial],
    settings: TrialSettings,
    policy: BatchPolicy | None,
    workers: int,
    on_action: OnAction | None = None,
    on_cluster: ClusterJobs | None = None,
) -> Iterator[Outcome]:
    """Plays all trials; yields their outcomes in the order in which they end.

    policy: None where settings.expert. on_action: called with each trial, step (from 0), observation and
    action. on_cluster: plays them there instead, with its own observer. Raises SimulationError where the
    simulation cannot run, PolicyError for an action that is not finite, ClusterError.
    """
    if on_cluster:
        return on_cluster.run(trials, settings, SimulationError)
    return worker_pool.run_jobs(trials, settings, policy, workers, on_action, _choose, SimulationError)


def _choose(waiting: Sequence[Trial], before: Trial | None, running: Sequence[Trial]) -> int:
    """A trial with the worker's present objects, else with objects that no other worker has, else any."""
    taken = {trial.objects for trial in running}
    same = (number for number, trial in enumerate(waiting) if before and trial.objects == before.objects)
    free = (number for number, trial in enumerate(waiting) if trial.objects not in taken)
    return next(same, next(free, 0))
