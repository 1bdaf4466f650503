"""Evaluation on a cluster of two nodes gives the outcomes of one machine, also when a node dies."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest

from gr1_core.cli import main
from gr1_core.cluster import Cluster
from gr1_core.eval.cluster_jobs import ClusterJobs
from gr1_core.eval.environment import Environment, Outcome, SimulationError, TrialSettings
from gr1_core.eval.trials import run_trials
from gr1_core.rig import Rig
from gr1_core.sim.suites import FIRST_TEST_SEED, trials

RIG = Rig.load("kinova_gen2_small")


def in_order(outcomes) -> list:
    return sorted(outcomes, key=lambda outcome: str(outcome.trial))


@dataclasses.dataclass(frozen=True)
class Scripted:
    """In place of TrialSettings: every episode succeeds, but `deadly` kills its worker once in the middle.

    folder: gets a file for each episode that begins.
    """

    folder: Path
    deadly: str

    def environment(self):
        return self

    def run(self, trial, policy):
        before = len(list(self.folder.glob(f"{trial}.*")))
        (self.folder / f"{trial}.{before}").touch()
        if str(trial) == self.deadly and not before:
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(trial, True, 1.0, "", False, (), completed=1)

    def close(self):
        pass


def test_a_node_that_is_killed_costs_its_episode_once_more(nodes, tmp_path):
    chosen = trials("seen", 60)
    settings = Scripted(tmp_path, str(chosen[20]))
    with Cluster(nodes.address) as cluster:
        outcomes = list(run_trials(chosen, settings, None, 2, None, ClusterJobs(cluster, None)))
    assert {outcome.trial for outcome in outcomes} == set(chosen) and len(outcomes) == len(chosen)
    again = [trial for trial in chosen if len(list(tmp_path.glob(f"{trial}.*"))) > 1]
    assert again == [chosen[20]]
    assert sum(worker.poll() is not None for worker in nodes.workers) == 1


@pytest.mark.slow
def test_a_node_that_is_killed_from_outside_changes_no_outcome(nodes):
    chosen, settings = trials("drawer", 4), TrialSettings(RIG, 6.0, 0, expert=True)
    environment = Environment(settings)
    expected = in_order(environment.run(trial) for trial in chosen)
    with Cluster(nodes.address) as cluster:
        running = run_trials(chosen, settings, None, 2, None, ClusterJobs(cluster, None))
        outcomes = [next(running)]
        # Both play: one has just got its next episode, the other is in the middle of one.
        nodes.workers[0].send_signal(signal.SIGKILL)
        outcomes += running
    assert in_order(outcomes) == expected and len(outcomes) == 4


@pytest.mark.slow
def test_a_policys_episodes_and_predictions_are_those_of_one_machine(nodes, tmp_path, capsys):
    def evaluate(name: str, *more: str) -> dict:
        words = ["evaluate", "sim", "--checkpoint", "demo", "--suites", "seen,occluded", "--episodes", "3"]
        assert main([*words, "--out", str(tmp_path / name), *more]) == 0
        document = json.loads((tmp_path / name / "results.json").read_text())
        document["episodes"].sort(key=lambda row: json.dumps(row, sort_keys=True))
        return document

    here, there = evaluate("here", "--workers", "1"), evaluate("there", "--cluster", nodes.address)
    prediction = here.pop("prediction"), there.pop("prediction")
    assert there == here
    for role in ("static", "wrist"):
        one, other = (figures[role] for figures in prediction)
        assert one["frames"] == other["frames"] > 0
        # Of copying: precision=auto measures, and may choose another one for the second run's model.
        copied = [figures["all"]["copy"]["grey_levels"] for figures in (one, other)]
        assert copied[1] == pytest.approx(copied[0], abs=0.2)
    assert (tmp_path / "there" / "predicted.png").is_file()
    assert "dashboard" in capsys.readouterr().err


@dataclasses.dataclass(frozen=True)
class NoDisplay:
    """In place of TrialSettings: episodes with another seed than the first cannot be played."""

    def environment(self):
        return self

    def run(self, trial, policy):
        if trial.seed > FIRST_TEST_SEED:
            raise RuntimeError("no display")
        return trial

    def close(self):
        pass


def test_an_episode_that_cannot_be_played_is_named(nodes):
    first, second = trials("drawer", 3)[0], trials("drawer", 3)[2]
    assert first.seed == FIRST_TEST_SEED < second.seed
    with Cluster(nodes.address) as cluster:
        running = run_trials([first, second], NoDisplay(), None, 2, None, ClusterJobs(cluster, None))
        with pytest.raises(SimulationError, match=f"no episode from the simulation: {second}: no display"):
            list(running)
