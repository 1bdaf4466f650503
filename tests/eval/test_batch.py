"""Several rollouts in one pass of the model act as each would alone."""

import dataclasses

import numpy as np
import pytest
import torch

from gr1_core import GR1Config, Observation, Policy
from gr1_core.eval.batch import BatchPolicy
from gr1_core.policy import PolicyError
from gr1_core.rig import ROLES, Rig

CONFIG = dataclasses.replace(
    GR1Config.demo(), layers=2, vision_layers=1, image_size=32, text_layers=1, window=4
)
RIG = Rig.load("kinova_gen2_small")
INSTRUCTIONS = {"a": "pick up the eggplant", "b": "open the drawer", "c": "put the broccoli on the plate"}


def observations(seed: int, count: int) -> list[Observation]:
    rng = np.random.default_rng(seed)
    sizes = {role: (camera.height, camera.width, 3) for role, camera in RIG.cameras.items()}
    return [
        Observation(
            **{role: rng.integers(0, 256, size, np.uint8) for role, size in sizes.items()},
            arm=rng.normal(size=6),
            gripper=sign,
        )
        for sign in rng.choice([-1, 1], count)
    ]


@pytest.fixture
def batch():
    return BatchPolicy.untrained(CONFIG, RIG, device="cpu", precision="fp64")


def test_rollouts_that_start_at_different_times_act_as_each_would_alone(batch):
    policy = Policy.untrained(CONFIG, RIG, device="cpu", precision="fp64")
    shown = {name: observations(number, 7) for number, name in enumerate(INSTRUCTIONS)}
    alone = {}
    for name, instruction in INSTRUCTIONS.items():
        policy.reset(instruction)
        alone[name] = []
        for observation in shown[name]:
            action = policy.step(observation)
            alone[name].append((action, action.future()))
    # a waits alone, then with b, then all three: windows of unequal length, then full ones that slide; b
    # pauses for a while.
    turns = ["a", "ab", "ab", "abc", "ac", "abc", "abc", "bc", "bc", "c"]
    taken = dict.fromkeys(INSTRUCTIONS, 0)
    for name, instruction in INSTRUCTIONS.items():
        batch.start_rollout(name, instruction)
    for turn in turns:
        actions = batch.act({name: shown[name][taken[name]] for name in turn})
        assert list(actions) == list(turn)
        for name, action in actions.items():
            expected, future = alone[name][taken[name]]
            np.testing.assert_allclose(action.delta, expected.delta, atol=1e-10)
            assert action.gripper_logit == pytest.approx(expected.gripper_logit, abs=1e-10)
            for role in ROLES:
                np.testing.assert_allclose(
                    getattr(action.future(), f"{role}_patches"), getattr(future, f"{role}_patches"), atol=1e-9
                )
                off = getattr(action.future(), role).astype(int) - getattr(future, role)
                assert np.abs(off).max() <= 1
            taken[name] += 1
    assert set(taken.values()) == {7}


def test_a_restarted_rollout_has_an_empty_history(batch):
    first, second = observations(5, 2)
    batch.start_rollout("a", INSTRUCTIONS["a"])
    fresh = batch.act({"a": first})["a"].delta
    assert np.abs(batch.act({"a": first})["a"].delta - fresh).max() > 1e-6, "the window must matter"
    batch.act({"a": second})
    batch.start_rollout("a", INSTRUCTIONS["a"])
    np.testing.assert_array_equal(batch.act({"a": first})["a"].delta, fresh)
    batch.end_rollout("a")
    with pytest.raises(KeyError):
        batch.act({"a": first})


def test_an_action_that_is_not_finite_is_refused_with_the_instruction(batch):
    batch.start_rollout("a", INSTRUCTIONS["a"])
    with torch.no_grad():
        batch.model.action_head.arm.bias.fill_(float("nan"))
    with pytest.raises(PolicyError, match="not finite .* for 'pick up the eggplant'"):
        batch.act({"a": observations(0, 1)[0]})
