"""Videos beside demonstrations: one run learns to act and to predict the frames of clips."""

import json
from pathlib import Path

import pytest
import torch

from gr1_core.model import checkpoint
from gr1_core.train.recipe import RecipeError
from gr1_core.train.run_folder import TrainingError
from gr1_core.train.setup import train

from . import sets

LOSS = {"arm": 100, "gripper": 1, "static": 0.1, "wrist": 0.1, "videos": 1}
JOINT = {"loss": LOSS, "videos_batch": 4}


def log(folder) -> list[dict]:
    return [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]


def test_the_frames_of_the_videos_are_learned_with_the_actions(small_recipe, videos):
    run = small_recipe(
        **JOINT, videos=videos, steps=60, evaluation__every=20, save_every=60, optimizer__lr=3e-3
    )
    assert train(run) == 0
    first, *_, last = log(run.out)
    assert set(last["train"]) == {"arm", "gripper", "static", "wrist", "videos"}
    assert last["train"]["videos"] < 0.9 * first["train"]["videos"]
    assert last["train"]["arm"] < first["train"]["arm"]
    described = checkpoint.read_training(Path(run.out))["data"]["videos"]
    assert described["root"] == str(videos) and described["windows"] == 66


def test_a_run_with_videos_that_is_resumed_goes_on_bit_for_bit(small_recipe, videos, tmp_path):
    whole = small_recipe(**JOINT, videos=videos, steps=6, out=tmp_path / "whole")
    assert train(whole) == 0
    # Its states at step 4 are what a run that was stopped there has.
    cut = tmp_path / "cut"
    cut.mkdir()
    for path in Path(whole.out).rglob("*"):
        target = cut / path.relative_to(whole.out)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif path.name != "00000006.safetensors" and ".lock" not in path.name:
            target.write_bytes(path.read_bytes())
    resumed = small_recipe(**JOINT, videos=videos, steps=6, out=cut)
    assert train(resumed) == 0
    one, other = (checkpoint.load(folder)[0].state_dict() for folder in (whole.out, cut))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_micro_batches_give_the_whole_batchs_losses(small_recipe, videos, tmp_path):
    runs = {
        size: small_recipe(
            **JOINT,
            videos=videos,
            steps=3,
            model={**no_dropout()},
            micro_batch=size,
            out=tmp_path / str(size),
        )
        for size in ("null", 2)
    }
    for run in runs.values():
        assert train(run) == 0
    whole, cut = (log(run.out)[-1]["train"] for run in runs.values())
    assert cut == pytest.approx(whole, rel=1e-4)


def no_dropout() -> dict:
    from .conftest import MODEL

    return MODEL | {"dropout": 0.0}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"loss": LOSS | {"videos": 0}}, "videos=DIR and loss.videos above 0 go together"),
        ({"loss": LOSS | {"static": 0}}, "videos=DIR needs a model that predicts frames"),
        ({"videos": "null"}, "videos=DIR and loss.videos above 0 go together"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(small_recipe, videos, changes, message):
    with pytest.raises(RecipeError, match=message):
        small_recipe(**(JOINT | {"videos": videos} | changes))


def test_a_run_belongs_to_its_videos(small_recipe, videos, tmp_path):
    out = tmp_path / "run"
    train(small_recipe(**JOINT, videos=videos, steps=2, out=out))
    others = sets.videos(tmp_path / "others", seed=9)
    with pytest.raises((TrainingError, RecipeError), match="videos"):
        train(small_recipe(**JOINT, videos=others, steps=4, out=out))
