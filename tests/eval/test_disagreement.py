"""`gr1 bags list --sort disagreement`: a checkpoint watches recorded episodes."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from gr1_core import GR1, GR1Config, Policy
from gr1_core.cli import main
from gr1_core.data.bag import Bag, BagError, relabel_bag
from gr1_core.data.disagreement_file import FILE, DisagreementFile, EpisodeDisagreement
from gr1_core.data.steps import StepsError
from gr1_core.eval.disagreement import Watched, action_std, measure, summarize, watch
from gr1_core.eval.replay import replay_bag
from gr1_core.model import checkpoint
from tests.data.bag_fixture import demonstration
from tests.data.synthetic import files, tiny_rig
from tests.train.conftest import MODEL

SIZES = {key: value for key, value in MODEL.items() if key != "size"}
CONFIG = dataclasses.replace(GR1Config.demo(), **SIZES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained checkpoint."""
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("checkpoint")
    checkpoint.save(made, GR1(CONFIG).state_dict(), CONFIG, tiny_rig())
    return made


@pytest.fixture
def bags(tmp_path):
    for seed, name in enumerate(("a", "b")):
        demonstration(seed, 20).save(tmp_path / "bags" / name, instruction=f"task {name}")
    corrected = demonstration(2, 20)
    for step in range(12, 20):
        corrected.twist(100 * step + 5, (0.1, 0, 0), source="teleop")
    corrected.save(tmp_path / "bags/corrected", operator="policy")
    return tmp_path / "bags"


def test_the_distance_is_in_standard_deviations_of_the_action():
    error = np.array([[0.1, 0, 0, 0, 0, 0, 2.0], [np.nan] * 7])
    found = Watched(np.array([0.0, 0.1]), error, np.array([np.nan, np.nan]))
    std = [0.1, 1, 1, 1, 1, 1, 1]
    assert found.distance(std)[0] == pytest.approx(np.sqrt((1 + 4) / 7))
    one = summarize(found, std, "lift the cup")
    assert one.steps == 1 and one.residual is None and len(one.curve) == 1


def test_the_actions_are_those_of_a_replay_and_only_the_demonstrator_is_compared(folder, bags):
    policy = Policy.from_pretrained(folder, device="cpu", precision="fp32")
    watched, replay = watch(policy, Bag(bags / "a"), True), replay_bag(policy, Bag(bags / "a"))
    np.testing.assert_allclose(watched.error[:, :6], replay.predicted - replay.recorded[:, :6], atol=1e-6)
    assert np.isfinite(watched.residual).sum() == len(range(0, 20 - CONFIG.future_steps, 5))
    corrected = watch(policy, Bag(bags / "corrected"), False)
    assert np.isnan(corrected.error[:12]).all() and np.isfinite(corrected.error[12:]).all()


def test_an_episode_of_the_policy_alone_is_refused(folder, tmp_path):
    demonstration(0, 5).save(tmp_path / "bag", operator="policy")
    with pytest.raises(StepsError, match="a policy drove all of it"):
        watch(Policy.from_pretrained(folder, device="cpu"), Bag(tmp_path / "bag"), False)


def test_the_file_is_kept_beside_the_bags_which_stay_as_they_are(folder, bags, capsys):
    before = files(bags)
    command = ["bags", "list", str(bags), "--sort", "disagreement", "--json"]
    assert main(command) == 1 and "add --checkpoint" in capsys.readouterr().err
    assert main([*command, "--checkpoint", str(folder)]) == 0
    rows = json.loads(capsys.readouterr().out)
    figures = [row["disagreement"] for row in rows]
    assert figures == sorted(figures, reverse=True) and len(rows) == 3 and min(figures) > 0
    after = files(bags)
    assert after.pop(FILE) and after == before
    assert main(command) == 0 and json.loads(capsys.readouterr().out) == rows
    assert main(command[:-1]) == 0
    shown = capsys.readouterr().out
    assert "teaches most: " in shown and "standard deviations" in shown


def test_only_bags_that_changed_are_watched_again(folder, bags, monkeypatch):
    found = [Bag(path) for path in sorted(bags.iterdir()) if path.is_dir()]
    first = measure(folder, bags, found)
    relabel_bag(bags / "a", instruction="another task")
    again = measure(folder, bags, [Bag(one.folder) for one in found])
    assert again.bags["b"] == first.bags["b"] and again.bags["a"][0] != first.bags["a"][0]
    assert again.bags["a"][1].instruction == "another task"
    assert list(again.by_instruction()) == sorted(
        again.by_instruction(), key=lambda text: -again.by_instruction()[text]["figure"]
    )


def test_other_weights_measure_anew(folder, bags, tmp_path):
    found = [Bag(bags / "a")]
    first = measure(folder, bags, found)
    torch.manual_seed(1)
    other = tmp_path / "other"
    checkpoint.save(other, GR1(CONFIG).state_dict(), CONFIG, tiny_rig())
    second = measure(other, bags, found)
    assert second.weights != first.weights and second.bags["a"][1].figure != first.bags["a"][1].figure


def test_the_deviation_is_that_of_the_training_data_where_it_is_known(folder, bags, tmp_path):
    std = [0.5, 0.4, 0.3, 0.0, 0.2, 0.1, 0.9]
    known = tmp_path / "known"
    tensors = GR1(CONFIG).state_dict()
    checkpoint.save(known, tensors, CONFIG, tiny_rig(), {"data": {"std_action": std}})
    assert action_std(known, []) == [0.5, 0.4, 0.3, 0.01, 0.2, 0.1, 0.9]
    with pytest.raises(StepsError, match="none of the bags"):
        action_std(folder, [])


def test_a_bag_that_cannot_be_compared_is_named(folder, bags, capsys):
    demonstration(5, 20, without="wrist").save(bags / "odd")
    found = measure(folder, bags, [Bag(bags / "odd"), Bag(bags / "a")])
    assert "wrist" in found.bags["odd"][1].problem and found.bags["a"][1].figure


def test_a_damaged_file_is_named_with_the_remedy(tmp_path):
    file = DisagreementFile("A", "w", [1.0] * 7, {"a": ("state", EpisodeDisagreement("text", 1.0))})
    file.save(tmp_path)
    assert DisagreementFile.load(tmp_path) == file
    (tmp_path / FILE).write_text('{"version": 1}')
    with pytest.raises(BagError, match="is damaged.*delete it"):
        DisagreementFile.load(tmp_path)
