"""`gr1 collect sim --policy A --corrections`: a scripted operator takes over from a policy."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from gr1_core import GR1, GR1Config, cli
from gr1_core.data.bag import Bag
from gr1_core.data.convert.conversion import convert
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.dataset import Dataset
from gr1_core.data.episode_view import episode_view
from gr1_core.data.verification import verify_bag
from gr1_core.model import checkpoint
from tests.data.synthetic import tiny_rig
from tests.train.conftest import MODEL

TASK, SEED = "close_drawer", 1000


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """An untrained policy that fits the rig of small cameras."""
    folder = tmp_path_factory.mktemp("policy")
    torch.manual_seed(0)
    sizes = {key: value for key, value in MODEL.items() if key != "size"}
    config = dataclasses.replace(GR1Config.demo(), **sizes)
    checkpoint.save(folder, GR1(config).state_dict(), config, tiny_rig())
    return folder


@pytest.fixture(scope="module")
def recorded(policy, tmp_path_factory):
    root = tmp_path_factory.mktemp("bags")
    rig = tmp_path_factory.mktemp("rig") / "tiny.yaml"
    tiny_rig().save(rig)
    arguments = [
        *("collect", "sim", "--policy", str(policy), "--corrections", "--episodes", "1", "--tasks", TASK),
        *("--seed", str(SEED), "--rig", str(rig), "--out", str(root), "--workers", "1"),
    ]
    assert cli.main(arguments) == 0
    return root, arguments


def test_the_bag_is_that_of_a_policy_and_marks_the_take_over(recorded):
    bag = Bag(recorded[0] / f"{TASK}_{SEED:06d}")
    assert verify_bag(bag.folder) == [] and bag.outcome == "success"
    assert bag.labels["operator"] == "policy" and "took over after" in bag.labels["note"]
    (event,) = (one for one in episode_view(bag)["events"] if one["kind"] == "takeover")
    assert 1.0 < event["start_s"] < event["end_s"]


def test_conversion_tells_the_policy_from_the_operator(recorded, tmp_path):
    convert(BagSource(recorded[0]), tmp_path / "set", workers=1, progress=False)
    driver = Dataset(tmp_path / "set").driver
    first = int((driver == 2).argmax())
    assert first >= 14 and (driver[:first] == 1).all() and (driver[first:] == 2).all()


def test_the_same_command_keeps_what_is_there_and_the_expert_is_another_driver(recorded, capsys):
    assert cli.main(recorded[1]) == 0
    shown = capsys.readouterr().out
    assert "1 of them from before" in shown and "took over in 1 of 1 episodes" in shown
    without = [word for word in recorded[1] if word != "--corrections"]
    del without[without.index("--policy") : without.index("--policy") + 2]
    assert cli.main(without) == 1
    assert "recorded with another policy: choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, problem",
    [
        (["--corrections"], "needs a policy that drives"),
        (["--policy", "demo"], "add --corrections or --vary"),
        (["--policy", "demo", "--corrections", "--to", "dataset", "--vary"], "leave out --to"),
    ],
)
def test_options_that_do_not_go_together_are_named(tmp_path, capsys, words, problem):
    assert cli.main(["collect", "sim", "--episodes", "1", "--out", str(tmp_path / "out"), *words]) == 2
    assert problem in capsys.readouterr().err
