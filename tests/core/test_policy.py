"""The cached step is the full window, and what it cannot act on it refuses."""

import dataclasses
import re

import numpy as np
import pytest
import torch

from gr1_core import GR1Config, Policy, Rig
from gr1_core import policy as policies
from gr1_core.bench.policy import TOKENS, random_model, synthetic_observation
from gr1_core.model import checkpoint
from gr1_core.model.packed_linear import can_pack
from gr1_core.policy import PolicyError
from gr1_core.rig import RigError
from tests.core import exactness

RIG = Rig.load("kinova_gen2")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("random_model")
    checkpoint.save(folder, random_model(GR1Config.demo()).state_dict(), GR1Config.demo(), RIG)
    return folder


def test_each_step_equals_the_full_window_while_it_grows_and_while_it_slides(model_folder):
    exactness.require_full_window(model_folder, RIG, steps=23)


@pytest.mark.skipif(not can_pack(torch.bfloat16), reason="this processor has no bf16 product")
def test_bf16_stays_close(model_folder):
    exactness.require_close_in_bf16(model_folder, RIG, steps=12)


def test_the_future_does_not_depend_on_when_it_is_asked_for(demo_policy):
    demo_policy.reset("open the drawer")
    actions = [demo_policy.step(synthetic_observation(RIG, step)) for step in range(3)]
    late = actions[0].future()
    demo_policy.reset("open the drawer")
    early = demo_policy.step(synthetic_observation(RIG, 0)).future()
    assert np.array_equal(late.static_patches, early.static_patches)
    assert late.static.shape == late.wrist.shape == (112, 112, 3) and late.static.dtype == np.uint8
    assert not np.array_equal(late.static, late.wrist)


# The static step: what a GPU replays as one graph, here eagerly


@pytest.fixture(scope="module")
def two_policies(model_folder):
    """The same model with steps as on a CPU, and with static ones."""
    return [
        Policy(*checkpoint.load(model_folder), device="cpu", precision="fp32", static=static)
        for static in (False, True)
    ]


def test_static_steps_give_the_same_actions_while_the_window_grows_and_while_it_slides(two_policies):
    for policy in two_policies:
        policy.reset(TOKENS)
    for step in range(23):
        plain, static = (policy.step(synthetic_observation(RIG, step)) for policy in two_policies)
        np.testing.assert_allclose(static.delta, plain.delta, atol=2e-5)
        assert static.gripper_logit == pytest.approx(plain.gripper_logit, abs=1e-4)


def test_one_model_serves_two_rollouts_in_turn(two_policies):
    for policy in two_policies:
        alone = []
        for start in (0, 50):
            policy.reset(TOKENS)
            alone.append([policy.step(synthetic_observation(RIG, start + step)).delta for step in range(13)])
        policy.reset(TOKENS)
        histories = [policy.history()] * 2
        for step in range(13):
            for index, start in enumerate((0, 50)):
                policy.restore(histories[index])
                delta = policy.step(synthetic_observation(RIG, start + step)).delta
                histories[index] = policy.history()
                assert np.array_equal(delta, alone[index][step])


def test_static_steps_begin_anew_with_each_instruction(two_policies):
    policy = two_policies[1]
    policy.reset(TOKENS)
    first = [policy.step(synthetic_observation(RIG, step)).delta for step in range(12)]
    policy.reset("close the drawer")
    assert not np.array_equal(policy.step(synthetic_observation(RIG, 0)).delta, first[0])
    policy.reset(TOKENS)
    assert np.array_equal(first, [policy.step(synthetic_observation(RIG, step)).delta for step in range(12)])


def test_a_static_steps_future_does_not_depend_on_when_it_is_asked_for(two_policies):
    """Later steps overwrite the memory that the frames are predicted from."""
    futures = []
    for policy in two_policies:
        policy.reset(TOKENS)
        actions = [policy.step(synthetic_observation(RIG, step)) for step in range(13)]
        futures.append([actions[0].future(), actions[11].future(), actions[12].future()])
        assert np.array_equal(actions[12].future().static, futures[-1][2].static)
    for plain, static in zip(*futures):
        np.testing.assert_allclose(static.static_patches, plain.static_patches, atol=1e-4)
        np.testing.assert_allclose(static.wrist_patches, plain.wrist_patches, atol=1e-4)
        assert np.abs(static.static.astype(int) - plain.static).max() <= 1


def test_a_static_step_that_is_refused_is_forgotten(two_policies, monkeypatch):
    policy, seen = two_policies[1], [synthetic_observation(RIG, step) for step in range(12)]
    policy.reset(TOKENS)
    expected = [policy.step(one).delta for one in seen]
    policy.reset(TOKENS)
    for one in seen[:11]:
        policy.step(one)
    wrong = dataclasses.replace(seen[11], arm=np.full(6, 1e30))
    with pytest.raises(PolicyError, match="not finite"):
        policy.step(wrong)
    assert np.array_equal(policy.step(seen[11]).delta, expected[11])


def test_the_warm_up_of_static_steps_leaves_no_trace(two_policies):
    policy = two_policies[1]
    policy.reset(TOKENS)
    expected = [policy.step(synthetic_observation(RIG, step)).delta for step in range(3)]
    policy.reset(TOKENS)
    for step in range(2):
        policy.step(synthetic_observation(RIG, step))
    policy.warm_up()
    assert np.array_equal(policy.step(synthetic_observation(RIG, 2)).delta, expected[2])


@pytest.mark.parametrize("name", ["small", "demo"])
def test_static_steps_take_every_configuration(name):
    config = getattr(GR1Config, name)()
    deltas = []
    for static in (False, True):
        policy = Policy(random_model(config), RIG, "cpu", "fp32", static=static)
        policy.reset(TOKENS)
        deltas.append([policy.step(synthetic_observation(RIG, step)).delta for step in range(3)])
    np.testing.assert_allclose(deltas[1], deltas[0], atol=5e-5)


def test_a_new_instruction_forgets_the_history_and_changes_the_action(demo_policy):
    demo_policy.reset("open the drawer")
    first = demo_policy.step(synthetic_observation(RIG, 0))
    demo_policy.step(synthetic_observation(RIG, 1))
    demo_policy.reset("open the drawer")
    assert np.array_equal(demo_policy.step(synthetic_observation(RIG, 0)).delta, first.delta)
    demo_policy.reset("close the drawer")
    assert not np.array_equal(demo_policy.step(synthetic_observation(RIG, 0)).delta, first.delta)


def test_the_warm_up_leaves_no_trace(demo_policy):
    demo_policy.reset("open the drawer")
    expected = (
        demo_policy.step(synthetic_observation(RIG, 0)).delta,
        demo_policy.step(synthetic_observation(RIG, 1)).delta,
    )
    demo_policy.reset("open the drawer")
    demo_policy.step(synthetic_observation(RIG, 0))
    demo_policy.warm_up()
    assert np.array_equal(demo_policy.step(synthetic_observation(RIG, 1)).delta, expected[1])


def test_untrained_weights_are_the_same_for_the_same_seed():
    first, again, other = (Policy.untrained(GR1Config.demo(), RIG, seed, "cpu", "fp32") for seed in (1, 1, 2))
    deltas = []
    for policy in (first, again, other):
        policy.reset(TOKENS)
        deltas.append(policy.step(synthetic_observation(RIG, 0)).delta)
    assert np.array_equal(deltas[0], deltas[1]) and not np.array_equal(deltas[0], deltas[2])


def test_every_pixel_row_and_state_number_matters(model_folder):
    policy = Policy.from_pretrained(model_folder, device="cpu", precision="fp32")
    seen = synthetic_observation(RIG, 0)
    variants = [seen, dataclasses.replace(seen, gripper=-seen.gripper)]
    variants += [dataclasses.replace(seen, arm=seen.arm + 0.1 * np.eye(6)[i]) for i in range(6)]
    variants += [
        dataclasses.replace(seen, **{role: np.roll(getattr(seen, role), 40, axis=0)})
        for role in ("static", "wrist")
    ]
    deltas = []
    for variant in variants:
        policy.reset(TOKENS)
        deltas.append(policy.step(variant).delta)
    assert all(np.abs(delta - deltas[0]).max() > 1e-3 for delta in deltas[1:])


@pytest.mark.parametrize(
    "change, error, said",
    [
        ({"arm": np.array([0, 0, np.nan, 0, 0, 0])}, PolicyError, "nan"),
        ({"arm": np.zeros(7)}, PolicyError, "expected 6"),
        ({"gripper": 0.3}, PolicyError, "gripper is 0.3"),
        ({"wrist": np.zeros((240, 321, 3), np.uint8)}, RigError, r"\[240, 321, 3\]"),
        ({"static": np.zeros((360, 640, 3), np.float32)}, RigError, "float32"),
    ],
)
def test_an_observation_that_cannot_be_acted_on_is_refused_and_forgotten(demo_policy, change, error, said):
    demo_policy.reset("open the drawer")
    demo_policy.step(synthetic_observation(RIG, 0))
    expected = demo_policy.step(synthetic_observation(RIG, 1)).delta
    demo_policy.reset("open the drawer")
    demo_policy.step(synthetic_observation(RIG, 0))
    with pytest.raises(error, match=said):
        demo_policy.step(dataclasses.replace(synthetic_observation(RIG, 1), **change))
    assert np.array_equal(demo_policy.step(synthetic_observation(RIG, 1)).delta, expected)


def test_acting_needs_an_instruction(demo_policy):
    with pytest.raises(PolicyError, match="reset"):
        demo_policy.step(synthetic_observation(RIG, 0))


@pytest.mark.parametrize(
    "instruction, said",
    [("", "no words"), ("word " * 80, "80 tokens"), ([49406, 49407], "77"), ([0] * 77, "end token")],
)
def test_an_instruction_that_clip_cannot_take_is_refused(demo_policy, instruction, said):
    with pytest.raises(ValueError, match=said):
        demo_policy.reset(instruction)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="fp16"):
        Policy.untrained(GR1Config.demo(), RIG, precision="fp16", device="cpu")


def test_an_action_that_is_not_finite_never_leaves_the_policy():
    policy = Policy.untrained(GR1Config.demo(), RIG, device="cpu", precision="fp32")
    with torch.inference_mode():
        policy.model.action_head.arm.bias.fill_(float("inf"))
    policy.reset(TOKENS)
    with pytest.raises(PolicyError, match="not finite"):
        policy.step(synthetic_observation(RIG, 0))


@pytest.mark.parametrize("change, said", [
    ({"static": None}, "NoneType"),
    ({"arm": "abc"}, "arm is 'abc'"),
    ({"gripper": np.array([1, 1])}, "gripper is"),
    ({"arm": np.full(6, 1e30)}, "arm state"),
])  # fmt: skip
def test_what_is_no_observation_at_all_is_named(demo_policy, change, said):
    demo_policy.reset("open the drawer")
    with pytest.raises(ValueError, match=said):
        demo_policy.step(dataclasses.replace(synthetic_observation(RIG, 1), **change))


# int8


@pytest.mark.skipif(not can_pack(torch.int8), reason="this processor has no 8-bit products")
def test_int8_stays_close_to_fp32_and_costs_less_error_than_the_actions_vary(model_folder):
    exact, fast = (Policy.from_pretrained(model_folder, "cpu", precision) for precision in ("fp32", "int8"))
    exact.reset(TOKENS)
    fast.reset(TOKENS)
    deltas = np.array(
        [
            [policy.step(synthetic_observation(RIG, step)).delta for policy in (exact, fast)]
            for step in range(6)
        ]
    )
    error = np.sqrt(np.mean((deltas[:, 0] - deltas[:, 1]) ** 2))
    assert 0 < error < 0.5 * deltas[:, 0].std()


@pytest.mark.parametrize(
    "bf16, vnni, error, least, expected",
    [
        (True, True, 0.01, 0, "bf16"),
        (False, True, 0.01, 0, "int8"),
        (False, True, 0.06, 0, "fp32"),
        (False, True, 0.01, 1e9, "fp32"),
        (False, False, 0.01, 0, "fp32"),
    ],
)
def test_auto_takes_what_the_cpu_has_and_suits_the_model(monkeypatch, bf16, vnni, error, least, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: vnni)
    monkeypatch.setattr(policies, "int8_error", lambda model, rig: error)
    monkeypatch.setattr(policies, "INT8_LEAST_WEIGHTS", least)
    monkeypatch.setattr(policies, "pack", lambda part, dtype: part)
    assert Policy.untrained(GR1Config.small(), RIG, device="cpu").precision == expected


@pytest.mark.skipif(not can_pack(torch.int8), reason="this processor has no 8-bit products")
def test_the_error_of_int8_is_measured_on_the_model_itself():
    model = random_model(GR1Config.small())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert 0 < policies.int8_error(model, RIG) < 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_int8_is_refused_where_the_cpu_has_no_such_products(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    with pytest.raises(ValueError, match="int8.*choose fp32 or auto"):
        Policy.untrained(GR1Config.small(), RIG, device="cpu", precision="int8")


def test_a_policy_says_where_it_runs_and_after_its_warm_up_how_fast():
    rig = Rig.load("kinova_gen2_small")
    policy = Policy.untrained(GR1Config.small(), rig, device="cpu", precision="fp32")
    assert policy.describe() == "cpu, fp32"
    policy.warm_up()
    assert re.fullmatch("cpu, fp32, [0-9.e+]+ ms a step", policy.describe())
