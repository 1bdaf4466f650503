"""A run that was interrupted at any time ends with the bits of one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gr1_core.train import trainer
from gr1_core.train.recipe import RecipeError
from gr1_core.train.run_folder import RunFolder, TrainingError
from gr1_core.train.setup import train

ROOT = Path(__file__).parents[2]


def result(folder) -> tuple[dict, dict, list]:
    """All that a run leaves, but for its speed: the checkpoint's weights, the last state, the log."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for entry in log:
        entry.pop("speed")
    states = sorted((folder / "state").iterdir())
    assert [path.name for path in states] == ["00000004.safetensors", "00000006.safetensors"], (
        "the last two states"
    )
    # Copies, since a file that is mapped into memory must not be cut.
    weights, state = (
        {name: tensor.clone() for name, tensor in load_file(path).items()}
        for path in (folder / "model.safetensors", states[-1])
    )
    return weights, state, log


def same(one, other) -> None:
    for mine, theirs in zip(one[:2], other[:2]):
        assert mine.keys() == theirs.keys()
        assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    assert one[2] == other[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, demonstrations):
    from gr1_core.train import recipe

    from .conftest import CHANGES

    folder = tmp_path_factory.mktemp("uninterrupted")
    changes = [
        *CHANGES,
        f"data={demonstrations}",
        f"out={folder}",
        "init=null",
        "optimizer.ema=0.9",
        "shift.static=3",
    ]
    assert train(recipe.load("finetune-small", changes)) == 0
    return result(folder)


def killed(moment: str, arguments: tuple) -> None:
    name, changes = arguments
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.killed", moment, name, *changes],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


def test_killed_twice_and_started_again(small, small_recipe, tmp_path, uninterrupted):
    how = {"optimizer.ema": 0.9, "shift.static": 3}
    killed("while_a_state_is_written", small(**how))
    assert not list((tmp_path / "run" / "state").glob("*.safetensors"))
    killed("in_the_fourth_step", small(**how))
    assert [path.stem for path in (tmp_path / "run" / "state").glob("*.safetensors")] == ["00000002"]
    assert train(small_recipe(**how)) == 0
    same(result(tmp_path / "run"), uninterrupted)


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_after_the_step_in_hand(
    small_recipe, tmp_path, uninterrupted, monkeypatch, number, code
):
    update = trainer.Trainer.update

    def interrupted(self, *arguments):
        if self.progress.step == 2:
            os.kill(os.getpid(), number)
        return update(self, *arguments)

    how = small_recipe(**{"optimizer.ema": 0.9, "shift.static": 3})
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "update", interrupted)
        assert train(how) == code
    assert RunFolder(tmp_path / "run").states()[-1].stem == "00000003"
    assert train(how) == 0
    same(result(tmp_path / "run"), uninterrupted)


def test_a_finished_run_is_not_done_again(small_recipe, tmp_path, capsys):
    assert train(small_recipe(steps=2)) == 0
    before = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    assert train(small_recipe(steps=2)) == 0
    assert "finished at step 2" in capsys.readouterr().out
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == before


def test_another_recipe_is_refused_and_the_difference_named(small_recipe, tmp_path):
    train(small_recipe(steps=2))
    with pytest.raises(TrainingError, match=r"optimizer.lr was 0.001, is 0.01.*--fresh"):
        train(small_recipe(steps=2, **{"optimizer.lr": 0.01}))
    assert train(small_recipe(steps=2, **{"optimizer.lr": 0.01}), fresh=True) == 0
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 1


def test_a_damaged_state_is_passed_over(small_recipe, tmp_path, capsys):
    train(small_recipe())
    before = result(tmp_path / "run")
    last = RunFolder(tmp_path / "run").states()[-1]
    last.write_bytes(last.read_bytes()[:1000])
    assert train(small_recipe()) == 0
    assert "cannot be read" in capsys.readouterr().out
    same(result(tmp_path / "run"), before)


def test_two_runs_do_not_share_a_folder(small_recipe, tmp_path):
    with RunFolder(tmp_path / "run") as first:
        first.lock()
        with pytest.raises(TrainingError, match="another run writes into"):
            train(small_recipe())


def test_a_full_disk_is_named_and_the_last_state_stays(small_recipe, tmp_path, monkeypatch):
    from gr1_core.train import run_folder

    save = run_folder.save_file

    def full(tensors, path):
        if "00000004" in str(path):
            raise OSError(28, "No space left on device")
        save(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "save_file", full)
        with pytest.raises(TrainingError, match="00000004.safetensors: the disk is full"):
            train(small_recipe())
    assert [path.stem for path in RunFolder(tmp_path / "run").states()] == ["00000002"]
    assert train(small_recipe()) == 0


def test_a_wrong_stage_is_refused_by_the_command(capsys):
    from gr1_core.cli import main

    assert main(["pretrain", "finetune-small", "data=x"]) == 2
    assert "run it with `gr1 finetune finetune-small`" in capsys.readouterr().err


def test_the_data_of_a_recipe_must_exist(small_recipe):
    with pytest.raises((RecipeError, ValueError), match="no dataset"):
        train(small_recipe(data="nowhere"))


def test_a_run_belongs_to_its_data(small_recipe, tmp_path, demonstrations):
    data = tmp_path / "data"
    shutil.copytree(demonstrations, data)
    how = small_recipe(data=data, steps=4)
    assert train(how) == 0
    sums = data / "meta" / "sha256sums"
    sums.write_text(sums.read_text() + "\n")
    with pytest.raises(TrainingError, match=r"is a run on other data: .*fingerprint.*init=.*run out=NEW"):
        train(how)
    with pytest.raises(TrainingError, match="steps was 4, is 6.*begins with its weights"):
        train(small_recipe(data=data, steps=6))
