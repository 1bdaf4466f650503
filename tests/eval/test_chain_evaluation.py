"""Chains and events in `gr1 evaluate sim`: the policy gets each instruction in turn, and what an event lets
it see.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from gr1_core import Rig
from gr1_core.eval import workers
from gr1_core.eval.environment import Environment, Outcome, TrialSettings
from gr1_core.sim import Expert
from gr1_core.sim.events import OCCLUSION_GREY
from gr1_core.sim.suites import trials

RIG = Rig.load("kinova_gen2_small")


class ExpertConnection:
    """The other end of the connection: answers each observation with the expert's action for the current
    instruction.
    """

    def __init__(self, trial):
        self.stages, self.numbers, self.observations = trial.stages(), [], []
        self.start_stage(0)

    def start_stage(self, number):
        self.expert = Expert(self.stages[number].task, RIG.control_hz)

    def send(self, message):
        if isinstance(message, int):
            self.numbers.append(message)
            self.start_stage(message)
            return
        self.observations.append(message)
        command = self.expert.act(self.environment.twin.state())
        self.answer = RIG.delta(command.linear, command.angular, message["arm"]), command.closure

    def recv(self):
        return self.answer


def play(trial):
    connection = ExpertConnection(trial)
    environment = connection.environment = Environment(TrialSettings(RIG, 20.0, 0, expert=False), connection)
    outcome = environment.run_trial(trial)
    environment.close()
    return outcome, connection


@pytest.fixture(scope="module")
def chain():
    return play(trials("chains", 1)[0])


def test_each_instruction_of_a_chain_is_announced_once_and_the_state_is_carried_on(chain):
    outcome, connection = chain
    assert outcome.success and outcome.completed == 5 and connection.numbers == [1, 2, 3, 4]
    assert len(connection.observations) * RIG.period == pytest.approx(outcome.seconds)
    arms = np.array([observation["arm"] for observation in connection.observations])
    assert np.abs(np.diff(arms[:, :3], axis=0)).max() < 0.03, "the arm never jumps"


def test_a_chain_ends_with_the_first_failure():
    trial = trials("chains", 1)[0]
    environment = Environment(TrialSettings(RIG, 1.0, 0, expert=True), None)
    outcome = environment.run_trial(trial)
    environment.close()
    assert not outcome.success and outcome.completed == 0 and outcome.failure and outcome.seconds == 1.0


def test_a_policy_sees_a_grey_static_image_for_one_second_of_the_occluded_suite():
    outcome, connection = play(trials("occluded", 1)[0])
    grey = [(observation["static"] == OCCLUSION_GREY).all() for observation in connection.observations]
    assert sum(grey) == 10 and not grey[0] and outcome.success
    assert not any((observation["wrist"] == OCCLUSION_GREY).all() for observation in connection.observations)


def scripted_worker(connection, settings):
    """In place of `serve_trials`: one observation, the next instruction, another observation, the outcome."""
    trial = connection.recv()
    observation = {"static": np.zeros((2, 2, 3), np.uint8), "wrist": np.zeros((2, 2, 3), np.uint8)}
    for number in range(2):
        if number:
            connection.send(number)
        connection.send(observation | {"arm": np.zeros(6), "gripper": 1.0})
        connection.recv()
    connection.send(Outcome(trial, False, 1.0, "dropped", False, (), completed=1))
    connection.close()


class RecordingPolicy:
    """Stands in for a BatchPolicy."""

    def __init__(self):
        self.instructions, self.open = [], set()

    def start_rollout(self, rollout, instruction):
        self.instructions.append(instruction)
        self.open.add(rollout)

    def end_rollout(self, rollout):
        self.open.remove(rollout)

    def act(self, observations):
        return {key: SimpleNamespace(delta=np.zeros(6), gripper=1) for key in observations}


def test_the_policy_starts_anew_with_each_instruction(monkeypatch):
    monkeypatch.setattr(workers, "serve_trials", scripted_worker)
    trial, policy, seen = trials("chains", 1)[0], RecordingPolicy(), []
    settings = TrialSettings(RIG, 1.0, 0, expert=False)
    on_action = lambda stage, step, *_: seen.append((stage.instruction, step))  # noqa: E731
    (outcome,) = workers.run_trials([trial], settings, policy, 1, on_action)
    first, second = [stage.instruction for stage in trial.stages()[:2]]
    assert policy.instructions == [first, second] and not policy.open
    assert seen == [(first, 0), (second, 0)] and outcome.trial == trial
