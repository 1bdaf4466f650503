"""Chains and events in `gr1 evaluate sim`: the policy gets each instruction in turn, and what an event lets
it see.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from gr1_core import Rig
from gr1_core.eval.environment import Environment, Outcome, TrialSettings
from gr1_core.eval.trials import run_trials
from gr1_core.sim import Expert
from gr1_core.sim.events import OCCLUSION_GREY
from gr1_core.sim.suites import trials

RIG = Rig.load("kinova_gen2_small")


class ExpertPolicy:
    """In the place of the policy: answers each observation with the expert's action for the instruction."""

    def __init__(self):
        self.begun, self.observations = [], []

    def begin(self, instruction, stage):
        assert instruction == stage.instruction
        self.begun.append(stage)
        self.expert = Expert(stage.task, RIG.control_hz)

    def act(self, observation):
        self.observations.append(observation)
        command = self.expert.act(self.environment.twin.state())
        delta = RIG.delta(command.linear, command.angular, observation["arm"])
        return delta, 1.0 - 2.0 * command.closure


def play(trial):
    policy = ExpertPolicy()
    environment = policy.environment = Environment(TrialSettings(RIG, 20.0, 0, expert=False))
    outcome = environment.run(trial, policy)
    environment.close()
    return outcome, policy


@pytest.fixture(scope="module")
def chain():
    return play(trials("chains", 1)[0])


def test_each_instruction_of_a_chain_is_announced_once_and_the_state_is_carried_on(chain):
    outcome, policy = chain
    assert outcome.success and outcome.completed == 5 and policy.begun == outcome.trial.stages()
    assert len(policy.observations) * RIG.period == pytest.approx(outcome.seconds)
    arms = np.array([observation["arm"] for observation in policy.observations])
    assert np.abs(np.diff(arms[:, :3], axis=0)).max() < 0.03, "the arm never jumps"


def test_a_chain_ends_with_the_first_failure():
    trial = trials("chains", 1)[0]
    environment = Environment(TrialSettings(RIG, 1.0, 0, expert=True))
    outcome = environment.run(trial)
    environment.close()
    assert not outcome.success and outcome.completed == 0 and outcome.failure and outcome.seconds == 1.0


def test_a_policy_sees_a_grey_static_image_for_one_second_of_the_occluded_suite():
    outcome, policy = play(trials("occluded", 1)[0])
    grey = [(observation["static"] == OCCLUSION_GREY).all() for observation in policy.observations]
    assert sum(grey) == 10 and not grey[0] and outcome.success
    assert not any((observation["wrist"] == OCCLUSION_GREY).all() for observation in policy.observations)


class ScriptedSettings:
    """In place of TrialSettings: one observation, the next instruction, another observation, the outcome."""

    def environment(self):
        return self

    def run(self, trial, policy):
        observation = {"static": np.zeros((2, 2, 3), np.uint8), "wrist": np.zeros((2, 2, 3), np.uint8)}
        for stage in trial.stages()[:2]:
            policy.begin(stage.instruction, stage)
            policy.act(observation | {"arm": np.zeros(6), "gripper": 1.0})
        return Outcome(trial, False, 1.0, "dropped", False, (), completed=1)

    def close(self):
        pass


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


def test_the_policy_starts_anew_with_each_instruction():
    trial, policy, seen = trials("chains", 1)[0], RecordingPolicy(), []
    on_action = lambda stage, step, *_: seen.append((stage.instruction, step))  # noqa: E731
    (outcome,) = run_trials([trial], ScriptedSettings(), policy, 1, on_action)
    first, second = [stage.instruction for stage in trial.stages()[:2]]
    assert policy.instructions == [first, second] and not policy.open
    assert seen == [(first, 0), (second, 0)] and outcome.trial == trial
