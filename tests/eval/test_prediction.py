"""Errors of predicted frames where something moves, beside those of copying the current frame."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gr1_core import GR1Config, Observation
from gr1_core.eval.prediction import PredictionErrors
from gr1_core.model import patches
from gr1_core.policy import Future
from gr1_core.rig import ROLES, Rig
from gr1_core.sim.suites import trials

CONFIG = dataclasses.replace(GR1Config.demo(), image_size=96)
RIG = Rig.load("kinova_gen2_small")
POLICY = SimpleNamespace(rig=RIG, config=CONFIG)
TRIAL = trials("seen", 1)[0]
STEPS = 30


def scene(step: int) -> Observation:
    """A noisy background at rest with a bright square that moves by two of the model's pixels per step."""
    frames = {}
    for role, camera in RIG.cameras.items():
        image = np.random.default_rng(3).integers(60, 120, (96, 96, 3), np.uint8)
        image[40:52, 2 * step : 2 * step + 12] = np.random.default_rng(4).integers(
            200, 255, (12, 12, 3), np.uint8
        )
        frames[role] = image.repeat(camera.height // 96, 0).repeat(camera.width // 96, 1)
    return Observation(**frames, arm=np.zeros(6), gripper=1)


def future_of(observation: Observation) -> Future:
    images = {}
    for role in ROLES:
        image = patches.preprocess(torch.from_numpy(getattr(observation, role))[None], CONFIG.image_size)
        images[role] = (
            patches.to_pixels(image)[0].numpy(),
            patches.targets(image, CONFIG.patch_size)[0].numpy(),
        )
    return Future(images["static"][0], images["wrist"][0], images["static"][1], images["wrist"][1])


def watched(expects) -> PredictionErrors:
    """A policy that expects, `future_steps` after a step, the scene of step expects(step)."""
    predictions = PredictionErrors(POLICY)
    for step in range(STEPS):
        predictions.on_action(
            TRIAL,
            step,
            scene(step),
            SimpleNamespace(future=lambda step=step: future_of(scene(expects(step)))),
        )
    return predictions


def test_a_perfect_prediction_has_no_error_and_copying_has():
    for figures in watched(lambda step: step + CONFIG.future_steps).figures().values():
        assert figures["moving"]["model"] == figures["all"]["model"] == {"grey_levels": 0.0}
        assert figures["moving"]["copy"]["grey_levels"] > 10
        assert figures["all"]["copy"]["grey_levels"] == pytest.approx(
            figures["share"] * figures["moving"]["copy"]["grey_levels"], rel=0.2
        )


def test_predicting_the_current_frame_is_as_good_as_copying_it():
    for figures in watched(lambda step: step).figures().values():
        assert (
            figures["moving"]["model"] == figures["moving"]["copy"]
            and figures["all"]["model"] == figures["all"]["copy"]
        )


def test_a_resting_background_does_not_count_as_moving():
    for figures in watched(lambda step: step).figures().values():
        # The square before and after is 12 + 6 pixels wide and 12 high; with the margin, at most 28 x 22 of
        # 96 x 96.
        assert 0.02 < figures["share"] < 28 * 22 / 96**2 + 0.01


def test_every_fifth_step_is_compared_with_the_real_future_frame_and_none_beyond_the_end_of_a_trial():
    predictions = watched(lambda step: step)
    assert all(figures["frames"] == 6 for figures in predictions.figures().values()), "steps 0, 5 .. 25 of 30"
    (example,) = predictions.examples()
    now, _, real = example.frames["wrist"]
    np.testing.assert_array_equal(now, future_of(scene(example.step)).wrist)
    np.testing.assert_array_equal(real, future_of(scene(example.step + CONFIG.future_steps)).wrist)
    cut = PredictionErrors(POLICY)
    cut.on_action(TRIAL, 0, scene(0), SimpleNamespace(future=lambda: future_of(scene(0))))
    cut.end_trial(TRIAL)
    for step in range(4):
        cut.on_action(TRIAL, step, scene(step), SimpleNamespace(future=lambda: future_of(scene(0))))
    assert all(figures["frames"] == 1 for figures in cut.figures().values())
