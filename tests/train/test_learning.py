"""What a run learns, takes over, masks and leaves behind."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gr1_core import GR1, Policy, images
from gr1_core.data.dataset import Dataset
from gr1_core.data.windows import Windows, split_episodes
from gr1_core.model import checkpoint
from gr1_core.model.checkpoint import CheckpointError
from gr1_core.train import weights
from gr1_core.train.data import open_training_data
from gr1_core.train.evaluation import acting_steps
from gr1_core.train.input_pipeline import InputPipeline, InputSpec, shift_images
from gr1_core.train.losses import Objective, total_loss
from gr1_core.train.recipe import RecipeError
from gr1_core.train.run_folder import TrainingError
from gr1_core.train.setup import train

from . import sets

CPU = torch.device("cpu")


def log(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, videos):
    from gr1_core.train import recipe

    from .conftest import CHANGES

    folder = tmp_path_factory.mktemp("pretrained")
    changes = [
        *CHANGES,
        f"data={videos}",
        f"out={folder}",
        "steps=30",
        "evaluation.every=10",
        "batch=16",
        "optimizer.lr=3e-3",
    ]
    assert train(recipe.load("pretrain-small", changes)) == 0
    return folder


def test_pretraining_lowers_the_held_out_loss(pretrained):
    first, *_, last = log(pretrained)
    assert set(first["held_out"]) == {"static", "windows", "baselines"}
    assert last["held_out"]["static"] < first["held_out"]["static"] < 1
    assert images.decode((pretrained / "images" / "00000030.png").read_bytes()).shape == (
        32,
        3 * 32 + 2 * 4,
        3,
    )


def test_a_pretrained_model_is_refused_as_a_policy(pretrained):
    with pytest.raises(CheckpointError, match="pre-trained on videos and never learned to act.*gr1 finetune"):
        Policy.from_pretrained(pretrained)


def test_finetuning_takes_over_what_was_pretrained_and_learns_to_act(
    pretrained, small_recipe, tmp_path, demonstrations, capsys
):
    recipe = small_recipe(
        init=pretrained, steps=160, batch=16, **{"evaluation.every": 80, "optimizer.lr": 3e-3}
    )
    assert train(recipe) == 0
    last = log(tmp_path / "run")[-1]
    baselines = last["held_out"]["baselines"]
    assert last["held_out"]["action_mm"] < 0.6 * baselines["standing_still"]["action_mm"]
    assert last["held_out"]["action_mm"] < 0.8 * baselines["mean_action"]["action_mm"]

    report = json.loads((tmp_path / "run" / "tensors.json").read_text())
    names = set(load_file(tmp_path / "run" / "model.safetensors"))
    new = {
        name
        for name in names
        if name.startswith(("embed_arm.", "embed_gripper.", "embed_state.", "action_head."))
        or "wrist" in name
    }
    assert set(report["new"]) == new | {"query.action", "transformer.wte"}
    assert set(report["taken_over"]) == names - set(report["new"])
    assert set(report["frozen"]) == {name for name in names if name.startswith(("text.", "vision."))} | {
        "decoder.pos_embed",
        "transformer.wte",
    }
    assert set(report["trained"]) == names - set(report["frozen"])
    assert f"weights from {pretrained}" in capsys.readouterr().out

    policy = Policy.from_pretrained(tmp_path / "run", device="cpu", precision="fp32")
    assert policy.rig == Dataset(demonstrations).rig


def test_what_is_taken_over_is_bit_for_bit_what_was_pretrained(pretrained, small_recipe):
    model, report = weights.initial_model(small_recipe(init=pretrained))
    before, ours = load_file(pretrained / "model.safetensors"), model.state_dict()
    assert report.taken_over and all(torch.equal(ours[name], before[name]) for name in report.taken_over)
    with torch.random.fork_rng():
        torch.manual_seed(small_recipe().seed)
        fresh = GR1(model.config).state_dict()
    assert all(torch.equal(ours[name], fresh[name]) for name in report.new)


def test_only_what_gets_a_gradient_counts_as_trained(pretrained, small_recipe):
    """For each kind of recipe: the tensors that the report calls trained are those that the losses reach."""
    kinds = [
        {},
        {"loss.static": 0, "loss.wrist": 0},
        {"train_vision": "true"},
        {"stage": "pretrain", "loss.arm": 0, "loss.gripper": 0, "loss.wrist": 0},
    ]
    for kind in kinds:
        recipe = small_recipe(**kind)
        model, report = weights.initial_model(recipe)
        data = Dataset(recipe.data)
        feed = InputPipeline(model, data, InputSpec.of(recipe), CPU, False)
        feed.cached = False
        windows = Windows(data, None, 4, 2)
        with feed.batches(windows, [np.arange(4)]) as loader:
            summed = Objective(model.train(), recipe.targets, False)(feed.inputs(next(loader)))
        total_loss(summed, recipe.loss, (1, 1, 1)).backward()
        assert {name for name, value in model.named_parameters() if value.grad is not None} == set(
            report.trained
        ), kind


def test_another_configuration_is_named(pretrained, small_recipe):
    with pytest.raises(RecipeError, match="layers is 2 there, 3 here"):
        weights.initial_model(small_recipe(init=pretrained, **{"model.layers": 3}))


def test_missing_weights_say_which_file(small_recipe):
    with pytest.raises(RecipeError, match="mae_pretrain_vit_base.pth.*mae=FILE"):
        weights.initial_model(small_recipe(encoders="official"))
    with pytest.raises(RecipeError, match="no checkpoint at nowhere.*init=null"):
        weights.initial_model(small_recipe(init="nowhere"))


@pytest.fixture(scope="module")
def parts(demonstrations):
    from gr1_core.train import recipe

    from .conftest import CHANGES

    recipe = recipe.load("finetune-small", [*CHANGES, f"data={demonstrations}", "init=null"])
    model, _ = weights.initial_model(recipe)
    return recipe, model, Windows(Dataset(demonstrations), None, 4, 2)


def losses_of(parts, batch) -> dict:
    recipe, model, windows = parts
    feed = InputPipeline(
        model.eval(), windows.dataset, InputSpec(("static", "wrist"), ("static", "wrist"), True), CPU, False
    )
    with torch.no_grad():
        return {
            name: float(value)
            for name, value in Objective(model, recipe.targets, False)(feed.inputs(batch)).items()
        }


def test_what_lies_past_the_end_does_not_matter(parts):
    windows = parts[2]
    at_the_end = np.array([windows.dataset.episodes["end"][0] - 2, 0])
    with InputPipeline(
        parts[1], windows.dataset, InputSpec(("static", "wrist"), ("static", "wrist"), True), CPU, False
    ).batches(windows, [at_the_end] * 2) as batches:
        batch = next(batches)
        assert batch.valid[0].tolist() == [True, True, False, False] and not batch.future[0].any()
        before = losses_of(parts, batch)
        changed = next(batches)
    past = ~changed.valid
    changed.state[past], changed.action[past] = 1e3, np.nan
    changed.host.frames[0, 2:] = 10**6 + np.arange(4)  # frames of their own, no repetitions
    for frames in changed.images.values():
        frames[0, 2:] = 255 - frames[0, 2:]
    assert losses_of(parts, changed) == pytest.approx(before, rel=1e-5)
    changed.action[0, 0] += 1
    assert losses_of(parts, changed)["arm"] > before["arm"]


def test_files_of_frames_give_the_losses_of_encoding_anew(parts):
    _, model, windows = parts
    numbers = np.array([3, 17, windows.dataset.episodes["end"][1] - 1])
    results = {}
    for cache in ("on", "off"):
        wants = InputSpec(("static", "wrist"), ("static", "wrist"), True, cache=cache)
        feed = InputPipeline(model.eval(), windows.dataset, wants, CPU, False)
        feed.prepare()
        with feed.batches(windows, [numbers]) as loader, torch.no_grad():
            batch = next(loader)
            assert bool(batch.images) == (cache == "off")
            results[cache] = Objective(model, ("action", "static", "wrist"), False)(feed.inputs(batch))
    for name, value in results["on"].items():
        torch.testing.assert_close(value, results["off"][name], rtol=1e-5, atol=1e-6)


def test_a_shift_moves_all_frames_of_a_window_alike():
    pixels = torch.arange(2 * 3 * 5 * 7 * 3, dtype=torch.int64).reshape(2, 3, 5, 7, 3)
    moved = shift_images(pixels, torch.tensor([[0, 0], [2, -3]]))
    assert torch.equal(moved[0], pixels[0])
    assert torch.equal(moved[1, :, 2:, :4], pixels[1, :, :3, 3:])
    assert torch.equal(moved[1, :, 0, :4], pixels[1, :, 0, 3:]), "the edge is repeated"


def test_shifts_do_not_go_with_files_of_frames(small_recipe):
    with pytest.raises(ValueError, match="shift.static=0"):
        train(small_recipe(cache="on", **{"shift.static": 2}))


def test_the_action_error_is_that_of_the_steps_the_policy_acts_from(demonstrations):
    windows = Windows(Dataset(demonstrations), None, 4, 2)
    mask = acting_steps(windows, np.array([0, 1, 16]))
    assert mask.tolist() == [[True] * 4, [False, False, False, True], [True] * 4]


def test_every_step_of_an_episode_is_judged_once(demonstrations):
    windows = Windows(Dataset(demonstrations), [0], 4, 2)
    frames, valid, _ = windows.masks(np.arange(len(windows)))
    judged = frames[:, :4][acting_steps(windows, np.arange(len(windows))) & valid]
    assert sorted(judged.tolist()) == list(range(16))


def test_a_loss_that_is_not_finite_stops_with_a_report(small_recipe, tmp_path, demonstrations):
    with pytest.raises(TrainingError, match="not finite are the .*The last state is good"):
        train(
            small_recipe(
                **{"optimizer.lr": 1e30, "warmup_epochs": 0, "save_every": 1, "evaluation.every": 100}
            )
        )
    report = json.loads((tmp_path / "run" / "failure.json").read_text())
    assert len(report["windows"]) == 8 and report["step"] >= 1
    assert report["gradients"] or report["weights"]
    kept, _ = split_episodes(Dataset(demonstrations), 0.2, 0)
    assert max(report["windows"]) < 16 * len(kept)
    assert all(
        torch.isfinite(value).all() for value in checkpoint.load_model(tmp_path / "run").state_dict().values()
    )


def test_averaged_weights_are_the_ones_deployed(small_recipe, tmp_path):
    train(small_recipe(**{"optimizer.ema": 0.9}))
    deployed = load_file(tmp_path / "run" / "model.safetensors")
    state = load_file(tmp_path / "run" / "state" / "00000006.safetensors")
    for name in ("embed_time", "action_head.arm.weight"):
        assert torch.equal(deployed[name], state[f"ema/{name}"]) and not torch.equal(
            deployed[name], state[f"model/{name}"]
        )


def test_an_epoch_of_clips_begins_each_clip_once(small_recipe, videos):
    data = open_training_data(small_recipe("pretrain-small", data=videos, starts="first"))
    _, first_frames = data.train.locate(data.starts)
    assert first_frames.tolist() == data.train.dataset.episodes["start"][data.train.episodes].tolist()
    assert len(data.starts) + len(data.held.episodes) == 6


def test_another_data_set_can_be_the_held_out_one(small_recipe, tmp_path, demonstrations):
    other = sets.demonstrations(tmp_path / "validation", episodes=3, seed=5)
    assert train(small_recipe(validation=other, steps=2)) == 0
    data = json.loads((tmp_path / "run" / "training.json").read_text())["data"]
    assert (data["train"]["windows"], data["held_out"]["windows"]) == (12 * 16, 3 * 16), (
        "none of the training data is held out"
    )
    assert log(tmp_path / "run")[-1]["held_out"]["windows"] == 16


def test_videos_cannot_be_finetuned_on(small_recipe, videos):
    with pytest.raises(RecipeError, match="videos without states and actions"):
        train(small_recipe(data=videos))


def test_evaluate_data_prints_a_table_and_one_json_line(small_recipe, tmp_path, demonstrations, capsys):
    from gr1_core.cli import main

    train(small_recipe())
    capsys.readouterr()
    assert (
        main(
            [
                "evaluate",
                "data",
                "--checkpoint",
                str(tmp_path / "run"),
                "--dataset",
                str(demonstrations),
                "--untrained",
            ]
        )
        == 0
    )
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"action_mm", "action_deg", "gripper_accuracy", "windows", "baselines", "untrained"} <= set(result)
    assert result["episodes"] == "held-out" and result["windows"] == 48
    # An untrained model hardly moves, so its error is that of standing still.
    assert result["untrained"]["action_mm"] == pytest.approx(
        result["baselines"]["standing_still"]["action_mm"], rel=0.1
    )
    assert log(tmp_path / "run")[-1]["held_out"]["action_mm"] == pytest.approx(result["action_mm"], rel=0.02)


@pytest.mark.parametrize("vision", ["vit", "conv"])
@pytest.mark.parametrize("frames", ["normalised", "change"])
def test_evaluate_data_takes_every_kind_of_checkpoint(
    small_recipe, tmp_path, demonstrations, videos, capsys, vision, frames
):
    """Changes are predicted from images, which an encoder that is taken for frozen would not pass on."""
    from gr1_core.cli import main

    kinds = {
        "model.vision": vision,
        "model.vision_width": 32,
        "model.frames": frames,
        "train_vision": "true",
        "steps": 1,
    }
    for name, data in (("finetune-small", demonstrations), ("pretrain-small", videos)):
        out = tmp_path / name
        assert train(small_recipe(name, data=data, out=out, **kinds)) == 0
        capsys.readouterr()
        words = ["evaluate", "data", "--checkpoint", str(out), "--dataset", str(data), "--windows", "8"]
        assert main(words) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert result["windows"] == 8 and np.isfinite(result["static"])


def test_frames_decoded_once_give_the_same_run(small_recipe, tmp_path):
    """The option of recipes whose images change at every use."""
    for name, once in (("each", "false"), ("once", "true")):
        followed = small_recipe(out=tmp_path / name, decode_once=once, steps=2, **{"shift.static": 2})
        assert train(followed) == 0
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("each", "once"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_compiled_run_gives_the_same_losses(small_recipe, tmp_path):
    for name, compiled in (("eager", "false"), ("compiled", "true")):
        followed = small_recipe(
            out=tmp_path / name, compile=compiled, steps=2, **{"model.dropout": 0, "evaluation.every": 1}
        )
        assert train(followed) == 0
    eager, compiled = (log(tmp_path / name) for name in ("eager", "compiled"))
    for one, other in zip(eager, compiled):
        assert one["train"] == pytest.approx(other["train"], rel=1e-4)
    names = [set(load_file(tmp_path / name / "model.safetensors")) for name in ("eager", "compiled")]
    assert names[0] == names[1], "a compiled model's checkpoint is any model's"
