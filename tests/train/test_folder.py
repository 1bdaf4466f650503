"""What a run writes into and clears: a folder of its own, and nothing before all that it needs is there."""

from pathlib import Path

import pytest
from safetensors import SafetensorError

from gr1_core.cli import main
from gr1_core.model import checkpoint
from gr1_core.model.checkpoint import CheckpointError
from gr1_core.train import run_folder
from gr1_core.train.recipe import RecipeError
from gr1_core.train.run_folder import RunFolder, TrainingError
from gr1_core.train.setup import train


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def finished(small_recipe, tmp_path) -> Path:
    assert train(small_recipe(steps=2)) == 0
    return tmp_path / "run"


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"init": "nowhere"}, "init: no checkpoint at nowhere"),
        ({"data": "nowhere"}, "no dataset"),
        ({"encoders": "official"}, "mae is not set"),
    ],
)
def test_fresh_keeps_a_finished_run_if_the_new_one_cannot_begin(finished, small_recipe, wrong, said):
    before = content(finished)
    with pytest.raises(ValueError, match=said):
        train(small_recipe(steps=2, **wrong), fresh=True)
    assert content(finished) == before


@pytest.mark.parametrize("fresh", [True, False])
def test_a_run_does_not_begin_with_what_it_would_overwrite(finished, small_recipe, fresh):
    before = content(finished)
    with pytest.raises(RecipeError, match="init and out are the same folder"):
        train(small_recipe(init=f"{finished}/../run"), fresh=fresh)
    assert content(finished) == before


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize(
    "names", [["state/mine", "images/cat.png"], ["model.safetensors"], ["recipe.yaml", "state/mine"]]
)
def test_a_folder_that_holds_no_run_is_left_alone(small_recipe, tmp_path, names, fresh):
    for name in names:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text("extends: finetune-small")
    before = content(tmp_path / "run")
    with pytest.raises(
        TrainingError,
        match=f"is not empty and holds no training run .*{names[0].split('/')[0]}.*give another out=DIR",
    ):
        train(small_recipe(steps=2), fresh=fresh)
    assert content(tmp_path / "run") == before


def test_a_run_is_not_written_into_its_own_data(small_recipe, demonstrations):
    before = content(demonstrations)
    with pytest.raises(TrainingError, match="holds no training run"):
        train(small_recipe(out=demonstrations))
    assert content(demonstrations) == before


def test_a_refused_run_leaves_no_folder(small_recipe, tmp_path):
    with pytest.raises(RecipeError, match="no checkpoint at nowhere"):
        train(small_recipe(out=tmp_path / "runs" / "new", init="nowhere"))
    assert list(tmp_path.iterdir()) == []


def test_a_run_killed_with_its_first_files_begins_again(small_recipe, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    (tmp_path / "run" / "tensors.json").write_text("{}")
    assert train(small_recipe(steps=2)) == 0


@pytest.mark.parametrize(
    "below, said",
    [
        ("", "is a file, a run needs a folder"),
        ("/run", "could not create the run's folder .*Not a directory"),
    ],
)
def test_a_file_in_the_folders_place_is_named(small_recipe, tmp_path, below, said):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TrainingError, match=f"{said}: give another out=DIR") as refused:
        train(small_recipe(out=f"{tmp_path}/file{below}"))
    assert "room" not in str(refused.value)


def test_the_first_weights_on_a_full_disk_name_the_remedy(small_recipe, tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(
            CheckpointError,
            match="model.safetensors: the disk is full. Make room and run the same command again",
        ):
            train(small_recipe(steps=2))
    assert train(small_recipe(steps=2)) == 0, "the same command goes on"


@pytest.mark.parametrize("moment", range(len(run_folder._FILES) + 1))
def test_a_kill_while_a_run_is_cleared_leaves_one_that_can_be_begun_anew(
    finished, small_recipe, monkeypatch, moment
):
    class Killed(BaseException):
        pass

    def kill(*_) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "_FILES", run_folder._FILES[:moment])
        patch.setattr(RunFolder, "write_recipe", kill)
        with pytest.raises(Killed):
            train(small_recipe(steps=2), fresh=True)
    assert not any((finished / name).exists() for name in run_folder._FILES[:moment])
    assert train(small_recipe(steps=2), fresh=True) == 0


def test_fresh_may_stand_anywhere(finished, small, capsys):
    name, changes = small(steps=2)
    for words in (
        ["--fresh", name, *changes],
        [name, "--fresh", *changes],
        [name, changes[0], "--fresh", *changes[1:]],
        [name, *changes, "--fresh"],
    ):
        assert main(["finetune", *words]) == 0
        assert "finished at step" not in capsys.readouterr().out
