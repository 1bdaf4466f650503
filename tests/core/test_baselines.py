"""The baselines: what makes each of them itself, and that they go where a GR-1 goes: trainer, checkpoint,
judge, runtime.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch

from gr1_core import GR1Config, Observation, Policy, cli
from gr1_core.baselines import bins
from gr1_core.baselines.rt1 import TokenLearner
from gr1_core.eval.batch import BatchPolicy
from gr1_core.model import checkpoint, factory
from gr1_core.model.config import ConfigError
from gr1_core.model.language import tokenize
from gr1_core.policy import PolicyError
from gr1_core.train import losses, recipe, weights
from gr1_core.train.losses import Inputs
from gr1_core.train.recipe import RecipeError
from tests.train import sets

torch.set_num_threads(1)
SMALL = {
    "width": 32,
    "layers": 1,
    "heads": 2,
    "mlp_width": 64,
    "image_size": 32,
    "patch_size": 8,
    "vision_width": 16,
    "latents": 4,
    "text_dim": 16,
    "decoder_heads": 2,
    "decoder_layers": 1,
}
CONFIGS = {
    "rt1": dataclasses.replace(GR1Config.small(), **SMALL, policy="rt1", window=3),
    "r3m": dataclasses.replace(GR1Config.small(), **SMALL, policy="r3m", vision="conv"),
}
RIG = sets.rig()
INSTRUCTIONS = ("move to the left", "move down")


def random_model(config):
    """Random weights of which every input matters: FiLM and words begin at zero."""
    torch.manual_seed(0)
    model = factory.new_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2)
    return model


def observations(count, seed=0):
    rng = np.random.default_rng(seed)
    sizes = {role: (camera.height, camera.width, 3) for role, camera in RIG.cameras.items()}
    return [
        Observation(
            **{role: rng.integers(0, 256, size, np.uint8) for role, size in sizes.items()},
            arm=rng.normal(size=6),
            gripper=sign,
        )
        for sign in rng.choice([-1, 1], count)
    ]


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


# RT-1's bins


def test_a_bin_is_at_most_half_its_width_from_the_action():
    arm = torch.linspace(-1, 1, 4001)
    assert (bins.decode(bins.encode(arm)) - arm).abs().max() <= 1 / 256 + 1e-6
    assert bins.encode(arm).unique().tolist() == list(range(256))


def test_actions_out_of_range_are_in_the_outermost_bins():
    assert bins.encode(torch.tensor([-9.0, -1.0, 1.0, 9.0, float("inf")])).tolist() == [0, 0, 255, 255, 255]


def test_the_loss_is_least_for_the_right_bin_and_ln_256_for_none():
    arm = torch.tensor([[[0.3, -0.7, 0, 1, -1, 0.01]]])
    sure = 50 * torch.nn.functional.one_hot(bins.encode(arm), bins.COUNT).float()
    assert bins.cross_entropy(sure, arm).item() < 1e-6
    assert bins.cross_entropy(torch.zeros_like(sure), arm).item() == pytest.approx(np.log(256), rel=1e-5)
    assert (bins.likeliest(sure) - arm).abs().max() <= 1 / 256


def test_the_arms_loss_of_a_policy_with_bins_is_their_cross_entropy_at_valid_steps():
    model = random_model(CONFIGS["rt1"])
    features = {
        role: model.encode_images(torch.randn(2, 3, 3, 32, 32), torch.randn(2, 16))
        for role in ("static", "wrist")
    }
    action, valid = torch.rand(2, 3, 7) * 2 - 1, torch.tensor([[True, True, True], [True, False, False]])
    action[1, 1:] = float("nan")
    inputs = Inputs(torch.randn(2, 16), torch.randn(2, 3, 7), action, valid, None)
    prediction = model.predict(
        inputs.embedding, features, inputs.state[..., :6], inputs.state[..., 6], valid, ("action",)
    )
    expected = bins.cross_entropy(prediction.arm_bins[valid], action[valid][:, :6]).sum()
    assert losses.sum_losses(prediction, inputs, {})["arm"].item() == pytest.approx(expected.item(), rel=1e-5)


# RT-1's parts


def test_a_learned_token_is_a_mean_of_cells():
    learner = TokenLearner(CONFIGS["rt1"])
    with torch.no_grad():
        learner.place.zero_()
        tokens = learner(torch.randn(1, 1, 16).expand(3, 16, 16))
    assert tokens.shape == (3, 8, 16)
    torch.testing.assert_close(tokens, tokens[:1, :1].expand(3, 8, 16))


def test_a_step_of_the_window_does_not_see_later_ones():
    model = random_model(CONFIGS["rt1"])
    tokens = torch.randn(1, 3, 17, 32)
    later = tokens.clone()
    later[:, 2] = torch.randn(17, 32)
    with torch.no_grad():
        before, after = (model.decide(each, None).arm_bins for each in (tokens, later))
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert (before[:, 2] - after[:, 2]).abs().max() > 1e-4


# Where a GR-1 goes


def test_every_input_matters(config):
    model = random_model(config)
    embedding, images = (
        torch.randn(1, 16),
        {role: torch.randn(1, 1, 3, 32, 32) for role in ("static", "wrist")},
    )
    state = torch.randn(1, 1, 7)

    def logits(embedding=embedding, state=state, **changed):
        with torch.no_grad():
            features = {
                role: model.encode_images(each, embedding) for role, each in (images | changed).items()
            }
            return model.predict(embedding, features, state[..., :6], state[..., 6]).gripper_logit.item()

    opened = torch.cat([state[..., :6], -state[..., 6:]], -1)
    changes = {
        "embedding": -embedding,
        "state": opened,
        "static": -images["static"],
        "wrist": -images["wrist"],
    }
    assert all(abs(logits(**{name: value}) - logits()) > 1e-6 for name, value in changes.items())


def test_the_policy_acts_as_the_whole_window_does_and_so_do_several_rollouts_at_once(config, tmp_path):
    model = random_model(config)
    checkpoint.save(tmp_path, model.state_dict(), config, RIG)
    alone, batch = (
        kind.from_pretrained(tmp_path, device="cpu", precision="fp64") for kind in (Policy, BatchPolicy)
    )
    shown = {instruction: observations(5, seed) for seed, instruction in enumerate(INSTRUCTIONS)}
    expected = {}
    for instruction, seen in shown.items():
        alone.reset(instruction)
        expected[instruction] = [alone.step(one) for one in seen]
        batch.start_rollout(instruction, instruction)
    for step, turn in enumerate((INSTRUCTIONS[:1], INSTRUCTIONS, INSTRUCTIONS, INSTRUCTIONS)):
        for instruction, action in batch.act(
            {each: shown[each][step - (each != INSTRUCTIONS[0])] for each in turn}
        ).items():
            own = expected[instruction][step - (instruction != INSTRUCTIONS[0])]
            np.testing.assert_allclose(action.delta, own.delta, atol=1e-10)
            assert action.gripper_logit == pytest.approx(own.gripper_logit, abs=1e-10)
    images = torch.stack(
        [alone._preprocess(alone._views(one)) for one in shown[INSTRUCTIONS[0]][-config.window :]], 1
    )[:, None]
    state = torch.tensor([[[*one.arm, one.gripper] for one in shown[INSTRUCTIONS[0]][-config.window :]]])
    with torch.no_grad():
        embedding = alone.model.text(torch.tensor([tokenize(INSTRUCTIONS[0])]))
        features = {
            role: alone.model.encode_images(images[i], embedding)
            for i, role in enumerate(("static", "wrist"))
        }
        whole = alone.model.predict(embedding, features, state[..., :6], state[..., 6])
    last = expected[INSTRUCTIONS[0]][-1]
    np.testing.assert_allclose(whole.arm[0, -1].numpy(), last.delta, atol=1e-10)
    assert whole.gripper_logit[0, -1].item() == pytest.approx(last.gripper_logit, abs=1e-10)
    assert np.ptp([action.gripper_logit for action in expected[INSTRUCTIONS[0]]]) > 1e-6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_runs_in_the_precisions_of_the_runtime_and_has_no_future(config, precision):
    exact, policy = (
        Policy(random_model(config), RIG, device="cpu", precision=each) for each in ("fp64", precision)
    )
    policy.warm_up()
    for each in (exact, policy):
        each.reset(INSTRUCTIONS[0])
    for observation in observations(4):
        action, true = policy.step(observation), exact.step(observation)
        assert action.gripper_logit == pytest.approx(
            true.gripper_logit, abs=1e-4 if precision == "fp32" else 0.1
        )
    with pytest.raises(PolicyError, match=f"policy '{config.policy}' predicts no frames"):
        action.future()
    with pytest.raises(ValueError, match="predicts no frames"):
        policy.model.predict(None, {}, torch.zeros(1, 1, 6), torch.zeros(1, 1), None, ("action", "static"))


def arguments(config, data, out, *changes):
    model = SMALL | {
        "size": "small",
        "policy": config.policy,
        "vision": config.vision,
        "window": config.window,
    }
    return [
        f"baseline-{config.policy}",
        f"data={data}",
        f"out={out}",
        f"model={model}",
        "device=cpu",
        "threads=1",
        "loader_threads=1",
        "batch=8",
        "save_every=2",
        "evaluation.every=3",
        "evaluation.windows=8",
        "held_out=0.2",
        "precision=fp32",
        "init=null",
        *changes,
    ]


def test_it_is_trained_resumed_and_judged_by_the_same_commands(config, tmp_path, capsys):
    data = sets.demonstrations(tmp_path / "data", episodes=9, length=8)
    through, cut = tmp_path / "through", tmp_path / "cut"
    whole = checkpoint_after(config, data, through, 6)
    assert cli.main(["finetune", *arguments(config, data, cut, "steps=6")]) == 0
    (cut / "state" / "00000006.safetensors").unlink()
    assert cli.main(["finetune", *arguments(config, data, cut, "steps=6")]) == 0
    again = checkpoint.load_model(cut).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())
    capsys.readouterr()
    assert (
        cli.main(["evaluate", "data", "--checkpoint", str(cut), "--dataset", str(data), "--windows", "8"])
        == 0
    )
    figures = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert figures["action_mm"] > 0 and figures["episodes"] == "held-out" and "static" not in figures


def checkpoint_after(config, data, out, steps):
    assert cli.main(["finetune", *arguments(config, data, out, f"steps={steps}")]) == 0
    return checkpoint.load_model(out).state_dict()


def test_learning_leaves_r3ms_encoder_and_trains_rt1s(config, tmp_path):
    data = sets.demonstrations(tmp_path / "data", episodes=9, length=8)
    followed = recipe.load(*_split(arguments(config, data, tmp_path / "run", "steps=3")))
    before = weights.initial_model(followed)[0].state_dict()
    after = checkpoint_after(config, data, tmp_path / "run", 3)
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    seeing = {name for name in after if name.startswith("vision.")}
    assert moved & seeing == (seeing if config.policy == "rt1" else set())
    assert {name for name in after if not name.startswith(("vision.", "transformer.wte"))} <= moved


def _split(words):
    return words[0], words[1:]


def test_frozen_features_are_those_of_the_checkpoint_that_it_begins_with(config, tmp_path):
    gr1 = dataclasses.replace(config, policy="gr1", window=2)
    checkpoint.save(tmp_path / "gr1", random_model(gr1).state_dict(), gr1, RIG)
    changes = arguments(config, "d", tmp_path / "run", f"init={tmp_path / 'gr1'}")
    model, report = weights.initial_model(recipe.load(*_split(changes)))
    taken = checkpoint.load_model(tmp_path / "gr1").vision.state_dict()
    assert all(torch.equal(model.vision.state_dict()[name], tensor) for name, tensor in taken.items())
    assert {name.split(".")[0] for name in report.taken_over} == {"text", "vision"}
    with pytest.raises(RecipeError, match="vision_width is 16 there, 32 here"):
        weights.initial_model(recipe.load(*_split([*changes, "model.vision_width=32"])))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("rt1", "loss.static=1", "predict no frames: loss.static and loss.wrist must be 0"),
        ("r3m", "loss.wrist=1", "predict no frames: loss.static and loss.wrist must be 0"),
        (
            "rt1",
            "train_vision=false",
            "vision conv_film is conditioned by the instruction and must be trained",
        ),
        ("r3m", "model.window=2", "acts from the current step alone: window 1"),
        ("rt1", "model.vision=vit", "policy 'rt1' needs vision 'conv_film'"),
        ("rt1", "model.policy=rt2", "policy is 'rt2', expected gr1 or rt1 or r3m"),
    ],
)
def test_what_a_baseline_cannot_do_is_refused(name, change, said):
    with pytest.raises((RecipeError, ConfigError), match=said):
        recipe.load(f"baseline-{name}", ["data=d", change])


def test_baselines_differ_from_the_gr1_beside_them_in_what_makes_them_baselines():
    beside = recipe.load("ablation-no-video", ["data=d"]).to_dict()
    unlike = {
        "rt1": {"model.policy", "loss.arm", "loss.gripper"},
        "r3m": {"model.policy", "model.vision", "train_vision", "init"},
    }
    for name, differs in unlike.items():
        lines = recipe.changed_settings(beside, recipe.load(f"baseline-{name}", ["data=d"]).to_dict())
        assert {line.split(" was ")[0] for line in lines} == differs
