"""The imported weights give what the published code gave."""

import numpy as np
import pytest
import torch

from gr1_core import Policy
from gr1_core.model import checkpoint, patches
from gr1_core.model.language import token_tensor, tokenize

from . import golden

TOLERANCE = {"fp32": (1e-5, 3e-5, 1e-5), "fp64": (1e-10, 1e-10, 1e-10)}
RECORD = {"fp32": "tiny", "fp64": "tiny_float64"}
PATCHES = [0, 15, 98, 195]


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_every_step_of_the_episode_agrees_with_the_published_code(tiny, precision):
    arm_limit, logit_limit, patch_limit = TOLERANCE[precision]
    truth = golden.outputs(RECORD[precision])
    policy = Policy.from_pretrained(tiny, device="cpu", precision=precision)
    policy.reset(golden.RECORD["instruction"])
    for step in range(golden.STEPS):
        action = policy.step(golden.observation(step))
        assert np.abs(action.delta - truth["arm"][step]).max() <= arm_limit
        assert abs(action.gripper_logit - truth["gripper_logit"][step]) <= logit_limit
        assert action.gripper == (1 if truth["gripper_logit"][step] > 0 else -1)
    future = action.future()
    assert (
        np.abs(future.static_patches[PATCHES] - truth["obs_preds_last_step_patches0_15_98_195"]).max()
        <= patch_limit
    )
    assert (
        np.abs(future.wrist_patches[PATCHES] - truth["obs_hand_preds_last_step_patches0_15_98_195"]).max()
        <= patch_limit
    )


def test_another_instruction_on_the_same_frames_agrees(tiny):
    truth = golden.outputs("tiny")
    policy = Policy.from_pretrained(tiny, device="cpu", precision="fp32")
    policy.reset(golden.RECORD["instruction"])
    for step in range(4, 14):
        policy.step(golden.observation(step))
    policy.reset(golden.RECORD["instruction_b"])
    for row, step in enumerate(range(4, 14)):
        action = policy.step(golden.observation(step))
        assert np.abs(action.delta - truth["window_arm_instr_b"][row]).max() <= 1e-5
        assert abs(action.gripper_logit - truth["window_gripper_logit_instr_b"][row]) <= 3e-5


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_the_whole_window_agrees_in_actions_frames_and_targets(tiny, precision):
    arm_limit, logit_limit, patch_limit = TOLERANCE[precision]
    truth, model, window = golden.outputs(RECORD[precision]), *load(tiny, precision)
    static, wrist, arm, gripper = window(range(4, 14))
    with torch.inference_mode():
        out = model(token_tensor(golden.RECORD["tokens"]), static, wrist, arm, gripper)
        targets = {"obs": model.frame_targets(static), "obs_hand": model.frame_targets(wrist)}
    assert np.abs(out.arm[0].numpy() - truth["window_arm"]).max() <= arm_limit
    assert np.abs(out.gripper_logit[0].numpy() - truth["window_gripper_logit"]).max() <= logit_limit
    for name, frames in (("obs", out.static), ("obs_hand", out.wrist)):
        assert (
            np.abs(frames[0, -1, PATCHES].numpy() - truth[f"{name}_preds_last_step_patches0_15_98_195"]).max()
            <= patch_limit
        )
        # A float32 patch of nearly one colour has a tiny scale, by which its rounding is divided.
        limit = 1e-10 if precision == "fp64" else 1e-4
        assert (
            np.abs(
                targets[name][0, -1, PATCHES].numpy() - truth[f"{name}_targets_last_step_patches0_15_98_195"]
            ).max()
            <= limit
        )


def test_statistics_of_all_predicted_frames_agree(tiny):
    model, window = load(tiny, "fp32")
    static, wrist, arm, gripper = window(range(4, 14))
    with torch.inference_mode():
        out = model(token_tensor(golden.RECORD["tokens"]), static, wrist, arm, gripper)
    for frames, name in ((out.static[0], "obs_preds"), (out.wrist[0], "obs_hand_preds")):
        record = golden.RECORD[name]
        assert frames.abs().sum().item() == pytest.approx(record["abs_sum"], rel=1e-6)
        assert np.abs(frames.flatten()[:64].numpy() - record["first64"]).max() <= 1e-5
        assert np.abs(frames[-1, 195, -64:].numpy() - record["last_step_patch195_last64"]).max() <= 1e-5
        assert np.abs(frames.mean((1, 2)).numpy() - record["per_step_mean"]).max() <= 1e-6


def test_a_padded_window_agrees_in_every_row_even_the_padded_ones(tiny):
    truth, model, window = golden.outputs("tiny"), *load(tiny, "fp32")
    static, wrist, arm, gripper = window(range(3))

    def padded(x, value=0.0):
        return torch.cat([x, x.new_full((1, 7, *x.shape[2:]), value)], 1)

    valid = torch.arange(10)[None] < 3
    with torch.inference_mode():
        out = model(
            token_tensor(golden.RECORD["tokens"]),
            padded(static),
            padded(wrist),
            padded(arm),
            padded(gripper, -1.0),
            valid,
            {"action"},
        )
    assert np.abs(out.arm[0].numpy() - truth["padded3_window_arm"]).max() <= 1e-5
    assert np.abs(out.gripper_logit[0].numpy() - truth["padded3_window_gripper_logit"]).max() <= 3e-5


@pytest.mark.parametrize("name", ["instruction", "instruction_b"])
def test_the_tokenizer_gives_clips_ids(name):
    assert tokenize(golden.RECORD[name]) == golden.RECORD[name.replace("instruction", "tokens")]


def load(folder, precision):
    """The model, and a function from step numbers to its inputs."""
    model, _ = checkpoint.load(folder)
    dtype = torch.float64 if precision == "fp64" else torch.float32
    model.to(dtype)

    def window(steps):
        seen = [golden.observation(step) for step in steps]
        static, wrist = (
            torch.cat(
                [patches.preprocess(torch.from_numpy(getattr(o, role))[None], 224, dtype) for o in seen]
            )[None]
            for role in ("static", "wrist")
        )
        arm = torch.tensor(np.array([o.arm for o in seen]), dtype=dtype)[None]
        return static, wrist, arm, torch.tensor([[float(o.gripper) for o in seen]], dtype=dtype)

    return model, window
