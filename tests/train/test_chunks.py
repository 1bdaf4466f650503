"""Action chunks: one query predicts several steps' actions, and only the first is carried out."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gr1_core.chunks import ChunkDisagreement
from gr1_core.data.dataset import Dataset
from gr1_core.data.windows import Windows
from gr1_core.eval.batch import BatchPolicy
from gr1_core.model import factory
from gr1_core.model.config import ConfigError, GR1Config
from gr1_core.model.gr1 import Prediction
from gr1_core.policy import Observation, Policy
from gr1_core.train import recipe, weights
from gr1_core.train.losses import Inputs, sum_losses
from gr1_core.train.recipe import RecipeError
from gr1_core.train.setup import train

from . import sets
from .conftest import MODEL

CHUNK = 5
WITH_CHUNK = {"model": MODEL | {"chunk": CHUNK}}


def observation(seed: int) -> Observation:
    random = np.random.default_rng(seed)
    frames = {role: random.integers(0, 256, (*shape, 3), np.uint8) for role, shape in sets.SHAPES.items()}
    return Observation(**frames, arm=random.uniform(-0.3, 0.3, 6), gripper=1)


def test_a_windows_actions_reach_past_it_and_end_with_the_episode(demonstrations):
    dataset = Dataset(demonstrations)
    windows = Windows(dataset, [1], window=4, future_steps=2, chunk=CHUNK)
    first, end = dataset.episodes[1].tolist()
    batch = windows.batch(np.arange(end - first))
    assert batch.later_action.shape == (16, 4, 7) and batch.later_valid.shape == (16, 4)
    np.testing.assert_array_equal(batch.later_action[0], dataset.action[first + 4 : first + 8])
    # The window at frame 10 of 16 has the steps 10 .. 13; 14 and 15 follow, then the episode is over.
    assert batch.later_valid[10].tolist() == [True, True, False, False]
    np.testing.assert_array_equal(batch.later_action[10, :2], dataset.action[first + 14 : end])
    assert not batch.later_action[10, 2:].any()
    without = Windows(dataset, [1], window=4, future_steps=2).batch([0])
    assert without.later_action is None and without.later_valid is None


def test_a_chunks_loss_is_the_mean_over_its_actions_inside_the_episode():
    steps, later = 3, CHUNK - 1
    random = torch.Generator().manual_seed(0)
    actions = torch.randn(steps + later, 7, generator=random)
    count = 5  # the episode ends after five steps
    prediction = Prediction(
        arm=torch.randn(1, steps, 6, generator=random),
        gripper_logit=torch.randn(1, steps, generator=random),
        later_arm=torch.randn(1, steps, later, 6, generator=random),
        later_gripper_logit=torch.randn(1, steps, later, generator=random),
    )
    valid = torch.arange(steps + later) < count
    inputs = Inputs(
        None, None, actions[None, :steps], valid[None, :steps], None,
        later_action=actions[None, steps:].where(valid[steps:, None], float("nan")),
        later_valid=valid[None, steps:],
    )  # fmt: skip
    losses = sum_losses(prediction, inputs, {})
    expected = 0.0
    for step in range(steps):
        terms = []
        for ahead in range(CHUNK):
            if step + ahead < count:
                own = prediction.arm[0, step] if ahead == 0 else prediction.later_arm[0, step, ahead - 1]
                difference = (own - actions[step + ahead, :6]).abs()
                terms.append(torch.where(difference < 1, difference**2 / 2, difference - 0.5).mean())
        expected += sum(terms) / len(terms)
    assert float(losses["arm"]) == pytest.approx(float(expected), rel=1e-5)
    assert torch.isfinite(losses["gripper"])


def test_a_policy_learns_chunks_and_carries_out_their_first_action(small_recipe, demonstrations):
    run = small_recipe(**WITH_CHUNK, steps=200, optimizer__lr=0.003, save_every=200, batch=16)
    train(run)
    policy = Policy.from_pretrained(run.out, "cpu", "fp32")
    dataset = Dataset(demonstrations)
    start, end = dataset.episodes[0].tolist()
    policy.reset(dataset.tasks[dataset.task_of[0]])
    errors = []
    for row in range(start, start + 6):
        images = {role: dataset.image(role, row) for role in ("static", "wrist")}
        state = dataset.state[row].astype(float)
        action = policy.step(Observation(**images, arm=state[:6], gripper=state[6]))
        assert action.later.shape == (CHUNK - 1, 7)
        errors.append(np.abs(action.later[:, :6] - dataset.action[row + 1 : row + CHUNK, :6]).mean())
    assert np.mean(errors) < 0.1  # the moves are 0.1 to 1 long


def test_static_and_batched_steps_give_the_same_first_actions():
    torch.manual_seed(0)
    model = factory.new_model(GR1Config.from_dict(GR1Config.demo().to_dict() | MODEL_SIZES))
    plain, static = (Policy(model, sets.rig(), "cpu", "fp32", static=way) for way in (False, True))
    batched = BatchPolicy(model, sets.rig(), "cpu", "fp32")
    batched.start_rollout("a", "move down")
    for policy in (plain, static):
        policy.reset("move down")
    for step in range(6):
        seen = observation(step)
        one, two, three = plain.step(seen), static.step(seen), batched.act({"a": seen})["a"]
        np.testing.assert_allclose(two.delta, one.delta, atol=2e-5)
        np.testing.assert_allclose(three.delta, one.delta, atol=2e-5)
        np.testing.assert_allclose(two.later, one.later, atol=2e-5)


MODEL_SIZES = {key: value for key, value in MODEL.items() if key != "size"} | {"chunk": CHUNK}


def test_a_checkpoint_from_before_there_were_chunks_has_a_chunk_of_one():
    raw = GR1Config.demo().to_dict()
    del raw["chunk"]
    assert GR1Config.from_dict(raw).chunk == 1


def test_baselines_refuse_chunks():
    with pytest.raises(ConfigError, match="chunk is 4; policy 'r3m' predicts one action a step"):
        GR1Config.from_dict(GR1Config.small().to_dict() | {"policy": "r3m", "vision": "conv", "chunk": 4})


def test_a_fine_tuned_policy_cannot_change_its_chunk(small_recipe, tmp_path):
    first = small_recipe(steps=2, out=tmp_path / "first")
    train(first)
    with pytest.raises(RecipeError, match="chunk is 1 there, 5 here"):
        train(small_recipe(**WITH_CHUNK, init=first.out, out=tmp_path / "second"))


def test_a_video_model_starts_a_policy_with_any_chunk(small_recipe, small, tmp_path, videos):
    name, changes = small("pretrain-small", data=videos, out=tmp_path / "videos", steps=2)
    train(recipe.load(name, changes))
    model, report = weights.initial_model(small_recipe(**WITH_CHUNK, init=tmp_path / "videos"))
    assert model.config.chunk == CHUNK and "action_head.arm.weight" in report.new


def test_disagreement_compares_an_action_with_what_earlier_steps_expected():
    meter = ChunkDisagreement()

    def step(now: float, *later: float):
        rows = np.zeros((len(later), 7))
        rows[:, 0] = later
        return meter.update(SimpleNamespace(delta=np.array([now, 0, 0, 0, 0, 0]), later=rows))

    assert step(1.0, 2.0, 3.0) is None
    assert step(2.0, 3.0, 4.0) == 0.0
    # Expected: 3 by the step before last, 3 by the last one; done: 6.
    assert step(6.0, 0.0, 0.0) == pytest.approx(np.sqrt(9 / 6))
    meter.reset()
    assert step(9.0, 9.0, 9.0) is None
