"""The shipped policy's recipe in miniature: trained encoders, augmented images, future frames of some
windows.
"""

import json
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gr1_core import Policy
from gr1_core.data.dataset import Dataset
from gr1_core.data.windows import Windows
from gr1_core.model.patches import preprocess, to_pixels
from gr1_core.train import recipe, setup, weights
from gr1_core.train.augmentation import AugmentationLimits, recolour_images
from gr1_core.train.batch_schedule import BatchSchedule
from gr1_core.train.input_pipeline import InputPipeline, InputSpec
from gr1_core.train.losses import Objective, total_loss
from gr1_core.train.setup import train
from gr1_core.train.signals import StopSignal

from .conftest import CHANGES

CPU = torch.device("cpu")
LIMITS = AugmentationLimits({"static": 4, "wrist": 3}, 0.2)
MODEL = {
    "size": "small",
    "width": 32,
    "layers": 2,
    "heads": 2,
    "mlp_width": 64,
    "image_size": 32,
    "vision_width": 32,
    "latents": 4,
    "decoder_heads": 2,
    "decoder_layers": 1,
    "text_dim": 16,
    "window": 2,
    "future_steps": 2,
}


@pytest.fixture
def demo(demonstrations, tmp_path):
    def made(**changes) -> recipe.Recipe:
        given = {
            "model": MODEL,
            "data": demonstrations,
            "out": tmp_path / "run",
            "video_share": 0.5,
        } | changes
        return recipe.load(
            "finetune-demo",
            [*CHANGES, *(f"{key.replace('__', '.')}={value}" for key, value in given.items())],
        )

    return made


def parts(followed) -> tuple[Objective, InputPipeline, Windows]:
    model, _ = weights.initial_model(followed)
    windows = Windows(Dataset(followed.data), None, 2, 2)
    feed = InputPipeline(model, windows.dataset, InputSpec.of(followed), CPU, False)
    feed.prepare()
    return Objective(model.eval(), followed.targets, False, followed.absolute_frame_error), feed, windows


def batch_of(feed: InputPipeline, windows: Windows, numbers):
    with feed.batches(windows, [np.asarray(numbers)]) as loader:
        return next(loader)


def test_it_learns_to_act_from_scratch_with_its_encoders(demo, tmp_path):
    assert train(demo(steps=240, batch=16, optimizer__lr=3e-3, evaluation__every=120, save_every=120)) == 0
    first, last = (
        json.loads(line)["held_out"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    )
    assert last["action_mm"] < 0.6 * last["baselines"]["mean_action"]["action_mm"]
    assert last["static"] < first["static"] and last["wrist"] < first["wrist"]
    policy = Policy.from_pretrained(tmp_path / "run", device="cpu", precision="fp32")
    assert policy.config.text == "words" and policy.model.text.table.abs().max() > 0


def test_text_and_image_encoder_are_among_what_the_losses_reach(demo):
    followed = demo()
    objective, feed, windows = parts(followed)
    total_loss(objective(feed.inputs(batch_of(feed, windows, range(4)))), followed.loss, (8, 8, 0)).backward()
    reached = {name for name, value in objective.model.named_parameters() if value.grad is not None}
    assert reached == set(weights.set_trained(objective.model, followed))
    assert {"text.table", "vision.norm.weight", "resampler.place"} <= reached


class Stopped(StopSignal):
    """SIGTERM has come already."""

    def __enter__(self):
        self.signal = signal.SIGTERM
        return super().__enter__()


def test_an_interrupted_run_ends_with_the_bits_of_one_that_was_not(demo, tmp_path, monkeypatch):
    assert train(demo(out=tmp_path / "whole")) == 0
    with monkeypatch.context() as patch:
        patch.setattr(setup, "StopSignal", Stopped)
        assert train(demo()) == 143, "after one step"
    assert train(demo()) == 0
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "run"))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_frames_count_for_the_first_windows_alone_and_actions_for_all(demo):
    objective, feed, windows = parts(demo(shift__static=0, shift__wrist=0, colour=0))
    numbers = [0, 5, 17, 30]
    with torch.no_grad():
        summed = objective(feed.inputs(batch_of(feed, windows, numbers), None, 3))
        each = [objective(feed.inputs(batch_of(feed, windows, [number]))) for number in numbers]
    for name in ("arm", "gripper"):
        torch.testing.assert_close(summed[name], sum(one[name] for one in each), rtol=1e-4, atol=1e-5)
    for name in ("static", "wrist"):
        torch.testing.assert_close(summed[name], sum(one[name] for one in each[:3]), rtol=1e-4, atol=1e-5)


def test_predicted_changes_are_judged_by_their_absolute_error(demo):
    """A model that has learned nothing predicts no change, so its error is the change itself."""
    objective, feed, windows = parts(demo(shift__static=0, shift__wrist=0, colour=0))
    inputs = feed.inputs(batch_of(feed, windows, range(4)))
    with torch.no_grad():
        summed, targets = objective(inputs), objective.frame_targets(inputs, ("static", "wrist"))
    for role, target in targets.items():
        expected = target.abs().mean((-1, -2)).sum()
        assert expected > 0
        torch.testing.assert_close(summed[role], expected, rtol=1e-4, atol=1e-6)


def test_changes_of_kept_pixels_are_those_of_the_camera(demo):
    """The wrist camera's images have the model's size here, so that not even a shift is rounded."""
    results = {}
    for cache in ("on", "off"):
        followed = demo(cache=cache, shift__wrist=5)
        _, feed, windows = parts(followed)
        change = BatchSchedule(followed, np.arange(len(windows)), 0, 1).augmentations(3, feed.spec.augment)[0]
        batch = batch_of(feed, windows, range(8))
        assert feed.cached == (cache == "on") == (not batch.images)
        results[cache] = feed.inputs(batch, change, 4)
    for kind, windows in (("images", 8), ("future_images", 4)):
        kept, anew = (getattr(results[cache], kind)["wrist"] for cache in ("on", "off"))
        assert len(kept) == windows
        torch.testing.assert_close(kept, anew, rtol=1e-5, atol=1e-5)


def test_changes_are_bounded_and_the_same_however_the_batch_is_cut(demo):
    followed = demo()
    whole = BatchSchedule(followed, np.arange(64), 0, 1).augmentations(0, LIMITS)[0]
    assert abs(whole["static"].shift).max() <= 4 and abs(whole["wrist"].shift).max() <= 3
    assert abs(whole["static"].colour - np.eye(4)).max() <= 0.2 + 1e-6
    for rank in (0, 1):
        part = BatchSchedule(followed, np.arange(64), rank, 2).augmentations(0, LIMITS)[0]
        for role in whole:
            assert np.array_equal(part[role].shift, whole[role].shift[rank::2])
            assert np.array_equal(part[role].colour, whole[role].colour[rank::2])


def test_hues_are_turned_for_a_share_of_the_windows_in_both_cameras_alike():
    drawn = AugmentationLimits({"static": 0, "wrist": 0}, hue=0.4).draw(np.random.default_rng(0), 2000)
    assert np.array_equal(drawn["static"].colour, drawn["wrist"].colour)
    untouched = (drawn["static"].colour == np.eye(4)).all((1, 2))
    assert 0.55 < untouched.mean() < 0.65

    def seen(*pixel: int) -> np.ndarray:
        """Of an RGB pixel, under the colours of all windows."""
        image = (
            preprocess(torch.tensor(pixel, dtype=torch.uint8).view(1, 1, 1, 3), 1)
            .view(1, 1, 3, 1, 1)
            .expand(2000, -1, -1, -1, -1)
        )
        return (
            to_pixels(recolour_images(image, torch.from_numpy(drawn["static"].colour))[:, 0])[:, 0, 0]
            .numpy()
            .astype(int)
        )

    without, with_hues = (
        AugmentationLimits(LIMITS.shift, LIMITS.colour, hue).draw(np.random.default_rng(0), 2000)["wrist"]
        for hue in (0, 0.4)
    )
    assert np.array_equal(without.shift, with_hues.shift), "the rest is drawn as before"
    same = (without.colour == with_hues.colour).all((1, 2))
    assert 0.55 < same.mean() < 0.65
    assert abs(seen(128, 128, 128) - 128).max() <= 1, "grey stays grey"
    green = seen(90, 150, 90)
    assert abs(green.sum(1) - 330).max() <= 3, "as bright as before"
    red, blue = green[:, 0] > green[:, 1:].max(1), green[:, 2] > green[:, :2].max(1)
    assert red.mean() > 0.1 and blue.mean() > 0.1, "any hue"
    assert (green[untouched] == [90, 150, 90]).all()
