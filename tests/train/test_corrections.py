"""`corrections=...`: what is learned from a policy's episodes, and with which weight."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from gr1_core.data.dataset import Dataset
from gr1_core.data.dataset_writer import DatasetWriter
from gr1_core.data.drivers import OPERATOR, POLICY
from gr1_core.data.windows import Windows
from gr1_core.train import recipe as recipes
from gr1_core.train.corrections import KINDS, frame_weights
from gr1_core.train.data import open_training_data
from gr1_core.train.recipe import Corrections, RecipeError
from gr1_core.train.setup import train

from . import sets
from .conftest import CHANGES

DRIVERS = {
    "demonstration": ([0] * 40, "success"),
    "corrected": ([POLICY] * 20 + [OPERATOR] * 8 + [POLICY] * 12, "success"),
    "failed": ([POLICY] * 25 + [OPERATOR] * 5 + [POLICY] * 10, "failure"),
    "failed demonstration": ([0] * 40, "failure"),
}


def write(root, episodes=None, repeat: int = 1):
    """A dataset of episodes of 40 frames; returns its folder."""
    generator = np.random.default_rng(0)
    writer = DatasetWriter(root, 10, sets.SHAPES, sets.rig(), {"kind": "demonstrations", "source": "bags"})
    for name, (driver, outcome) in (episodes or list(DRIVERS.items())) * repeat:
        episode = sets._episode(generator, "move down", len(driver), f"{name} {writer.episodes}")
        episode.driver, episode.info = np.array(driver, np.uint8), {"outcome": outcome}
        writer.add_episode(episode)
    writer.close()
    return root


def recipe(data, out="unused", *changes):
    given = [*CHANGES, f"data={data}", f"out={out}", "init=null", "encoders=random", "steps=3", *changes]
    return recipes.load("finetune-small", given)


def kinds(root, **corrections):
    data = Dataset(root)
    found = frame_weights(data, Corrections(**corrections))
    return [[KINDS[kind] for kind in found.kind[start:end]] for start, end in data.episodes.tolist()], found


def test_each_frame_has_its_kind_and_weight(tmp_path):
    (plain, corrected, failed, failed_plain), found = kinds(write(tmp_path / "set"), weight=3.0)
    assert set(plain) == {"demonstration"} and set(failed_plain) == {"failed"}
    before = ["before a take-over"] * 15
    assert corrected == ["policy"] * 5 + before + ["correction"] * 8 + ["policy"] * 12
    assert failed == ["failed"] * 10 + before + ["correction"] * 5 + ["failed"] * 10
    by_kind = {KINDS[kind]: weight for kind, weight in zip(found.kind.tolist(), found.weight.tolist())}
    assert by_kind == {
        "demonstration": 1.0, "correction": 3.0, "policy": 1.0, "before a take-over": 0.0, "failed": 0.0
    }  # fmt: skip


def test_a_second_take_over_leaves_the_first_ones_frames_in(tmp_path):
    driver = [POLICY] * 10 + [OPERATOR] * 5 + [POLICY] * 3 + [OPERATOR] * 5
    ((only,), _) = kinds(write(tmp_path / "set", [("two", (driver, "success"))]), before_s=0.5)
    assert only == ["policy"] * 5 + ["before a take-over"] * 5 + ["correction"] * 5 + (
        ["before a take-over"] * 3 + ["correction"] * 5
    )


def test_windows_without_a_step_to_learn_from_are_not_used(tmp_path):
    root = write(tmp_path / "set")
    data = open_training_data(recipe(root, "unused", "held_out=0", "corrections={}"))
    window, weights = data.train.window, data.train.weights
    for number in range(len(data.train)):
        frames, valid, _ = data.train.masks([number])
        steps = frames[0, :window][valid[0]]
        assert (number in data.starts) == bool((weights[steps] > 0).any())
    corrected = data.to_dict()["corrections"]
    assert corrected["correction"]["frames"] == 13 and corrected["failed"]["windows"] == 0
    assert sum(row["share"] for row in corrected.values()) == pytest.approx(1)


def test_a_weight_of_two_counts_as_a_step_that_is_there_twice(tmp_path):
    """The gradient of the weighted loss, of one model on the same windows."""
    from gr1_core.model.gr1 import Prediction
    from gr1_core.train.losses import Inputs, LossWeights, sum_losses, total_loss

    generator = torch.Generator().manual_seed(0)
    action, arm = (torch.randn(2, 3, 7, generator=generator) for _ in range(2))
    logit = torch.randn(2, 3, generator=generator)
    weight = torch.tensor([[1.0, 2.0, 0.0], [1.0, 1.0, 1.0]])

    def loss(rows, weight=None, valid=None):
        inputs = Inputs(None, None, action[rows], valid, None, weight=weight)
        summed = sum_losses(Prediction(arm=arm[rows][..., :6], gripper_logit=logit[rows]), inputs, {})
        count = weight.sum() if weight is not None else inputs.action.shape[:2].numel()
        return total_loss(summed, LossWeights(1.0, 0.1, 0, 0), (float(count), 0, 0))

    weighted = loss(slice(None), weight, weight > 0)
    flat = [(0, 0), (0, 1), (0, 1), (1, 0), (1, 1), (1, 2)]
    each = [loss_of(action[i, j], arm[i, j], logit[i, j]) for i, j in flat]
    assert float(weighted) == pytest.approx(float(sum(each)) / len(each), rel=1e-5)


def loss_of(action, arm, logit):
    import torch.nn.functional as F

    gripper = F.binary_cross_entropy_with_logits(logit, (action[6] > 0).float())
    return F.smooth_l1_loss(arm[:6], action[:6]) + 0.1 * gripper


def test_weights_reach_batches_counts_and_masks(tmp_path):
    data = Dataset(write(tmp_path / "set"))
    weights = frame_weights(data, Corrections(weight=2.0)).weight
    windows = Windows(data, [1], 5, 2, weights=weights)
    batch = windows.batch([18, 26])
    assert batch.weight.tolist() == [[0, 0, 2, 2, 2], [2, 2, 1, 1, 1]]
    assert batch.valid.tolist() == [[False, False, True, True, True], [True] * 5]
    assert windows.counts([18, 26])[0] == 6 + 7


def test_a_run_reports_what_each_kind_weighs(tmp_path, capsys):
    root = write(tmp_path / "set", repeat=3)
    assert train(recipe(root, tmp_path / "run", "corrections={weight: 2}")) == 0
    shown = capsys.readouterr().out
    assert "corrections:" in shown and "before a take-over" in shown and "left out" in shown
    assert "  correction: " in shown and "weight 2" in shown
    described = json.loads((tmp_path / "run/training.json").read_text())["data"]
    assert described["corrections"]["correction"]["weight"] == 2.0
    assert len(described["std_action"]) == 7
    last = json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[-1])
    assert np.isfinite(last["held_out"]["arm"]) and last["held_out"]["windows"] > 0


def test_weights_of_one_give_the_losses_of_a_run_without_corrections(tmp_path):
    root = write(tmp_path / "set", [("plain", ([0] * 40, "success"))], repeat=4)
    for name, change in (("with", "corrections={weight: 2}"), ("without", "corrections=null")):
        assert train(recipe(root, tmp_path / name, change)) == 0
    logs = [
        json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1])
        for name in ("with", "without")
    ]
    assert logs[0]["train"] == logs[1]["train"] and logs[0]["held_out"] == logs[1]["held_out"]


def test_take_overs_that_are_not_used_are_named(tmp_path, capsys):
    root = write(tmp_path / "set", repeat=3)
    assert train(recipe(root, tmp_path / "run")) == 0
    assert "frames of operators who took over" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, problem",
    [
        ("corrections={weight: 0}", "corrections.weight is 0, expected"),
        ("corrections={before_s: -1}", "must not be negative"),
        ("corrections={weihgt: 2}", "did you mean 'weight'"),
        ("corrections=2", "expected keys and values"),
        ("weight=2", "did you mean 'corrections.weight'"),
    ],
)
def test_wrong_settings_are_named(tmp_path, change, problem):
    with pytest.raises(RecipeError, match=problem.replace(".", r"\.")):
        recipe(tmp_path, "unused", change)


def test_a_dataset_without_drivers_is_refused_with_the_remedy(demonstrations):
    data = Dataset(demonstrations)
    data.driver = None
    with pytest.raises(RecipeError, match="no column 'driver'.*convert its bags again"):
        frame_weights(data, Corrections())


def test_nothing_to_learn_from_is_named(tmp_path):
    root = write(tmp_path / "set", [("failed", ([POLICY] * 20, "failure"))])
    with pytest.raises(RecipeError, match="nothing to learn from"):
        open_training_data(recipe(root, "unused", "held_out=0", "corrections={}"))
