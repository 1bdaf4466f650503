"""`gr1 improve`: from corrected episodes to a compared checkpoint."""

from __future__ import annotations

import json

import pytest
import torch

from gr1_core import GR1, cli
from gr1_core.data.convert.conversion import convert
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.improve import comparison
from gr1_core.model import checkpoint
from gr1_core.train import recipe
from gr1_core.train.setup import train
from tests.data.bag_fixture import demonstration
from tests.data.synthetic import tiny_rig
from tests.data.test_drivers import corrected
from tests.eval.test_disagreement import CONFIG
from tests.train.conftest import CHANGES


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset, a policy A of it, and six episodes of A that were corrected."""
    root = tmp_path_factory.mktemp("improve")
    for seed in range(4):
        demonstration(seed, 12).save(root / f"old_bags/{seed}")
    convert(BagSource(root / "old_bags"), root / "old", workers=1, progress=False)
    for seed in range(10, 16):
        corrected(root / f"bags/{seed}", seed, "failure" if seed % 2 else "success")
    given = [*CHANGES, f"data={root / 'old'}", f"out={root / 'A'}", "init=null", "encoders=random", "steps=2"]
    assert train(recipe.load("finetune-small", given)) == 0
    return root


def improve(root, *words):
    given = ["--checkpoint", str(root / "A"), "--bags", str(root / "bags"), "--out", str(root / "B")]
    return cli.main(["improve", *given, "--workers", "1", *words])


def test_b_is_trained_on_old_data_and_corrections_and_compared_on_held_out_episodes(world, capsys):
    assert improve(world, "steps=2", "held_out=0.3", "corrections.weight=3") == 0
    shown = capsys.readouterr().out
    assert "6 episodes of 6 with a take-over: 30 corrected frames" in shown
    assert "  correction: " in shown and "weight 3" in shown and "gr1 evaluate rig --checkpoints" in shown
    document = json.loads(shown.splitlines()[-1])
    assert document["evaluated"] == "held-out" and document["better"] is None and document["pairs"] >= 1
    training = checkpoint.read_training(world / "B")
    assert training["recipe"]["init"] == str(world / "A")
    assert training["data"]["corrections"]["demonstration"]["frames"] > 0
    # The same command has nothing left to do but to say what came out.
    assert improve(world, "steps=2", "held_out=0.3", "corrections.weight=3") == 0
    again = capsys.readouterr().out
    assert "finished at step 2" in again and json.loads(again.splitlines()[-1]) == document
    # Other bags are another improvement.
    corrected(world / "bags/20", 20)
    assert improve(world, "steps=2", "held_out=0.3", "corrections.weight=3") == 1
    assert "was begun with other bags: give another --out" in capsys.readouterr().err


def test_what_is_missing_is_named(world, tmp_path, capsys):
    other = tmp_path / "A"
    torch.manual_seed(0)
    checkpoint.save(other, GR1(CONFIG).state_dict(), CONFIG, tiny_rig())
    words = [
        "improve",
        "--checkpoint",
        str(other),
        "--bags",
        str(world / "bags"),
        "--out",
        str(tmp_path / "B"),
    ]
    assert cli.main(words) == 2
    assert "give --data DIR, or --data none" in capsys.readouterr().err
    assert cli.main([*words, "--data", "none"]) == 1
    assert "does not say how it was trained: give --recipe NAME" in capsys.readouterr().err
    assert cli.main([*words, "--data", str(world / "old"), "--recipe", "pretrain-small"]) == 1
    assert "gr1: " in capsys.readouterr().err
    assert not (tmp_path / "B").exists() and not (tmp_path / "B-work").exists()


@pytest.mark.slow
def test_both_play_the_same_layouts_and_finished_trials_are_kept(tmp_path, monkeypatch):
    folders = [tmp_path / name for name in "AB"]
    for seed, folder in enumerate(folders):
        torch.manual_seed(seed)
        checkpoint.save(folder, GR1(CONFIG).state_dict(), CONFIG, tiny_rig())
    settings = folders, ["drawer"], ["close_drawer"], 2, 500_000, 1, 1, tmp_path
    found = comparison.in_twin(*settings)
    assert found.difference.pairs == 2 and found.better is None and "drawer: A " in found.lines[0]
    path = tmp_path / "evaluation.jsonl"
    lines = path.read_text().splitlines()
    assert len(lines) == 4
    path.write_text("\n".join([*lines[:3], lines[3][:20]]))  # as a kill leaves it
    assert comparison.in_twin(*settings) == found
    assert path.read_text().splitlines()[:3] == lines[:3] and len(path.read_text().splitlines()) == 4
