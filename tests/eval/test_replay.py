"""`gr1 replay`: a checkpoint over recorded episodes, with plots and a verdict that stays with it."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from gr1_core import GR1, GR1Config, Policy
from gr1_core.cli import main
from gr1_core.data.bag import Bag
from gr1_core.eval import trained_on, verdict
from gr1_core.eval.replay import Replay, ReplayError, check_replays, replay_bag
from gr1_core.model import checkpoint
from gr1_core.rig import RigError
from tests.data.bag_fixture import demonstration
from tests.data.synthetic import tiny_rig

CONFIG = dataclasses.replace(GR1Config.demo(), layers=1, vision_layers=1, image_size=32, text_layers=1)


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    root = tmp_path_factory.mktemp("bags")
    for seed in range(2):
        demonstration(seed).save(root / f"episode_{seed}")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained checkpoint."""
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("checkpoint")
    checkpoint.save(made, GR1(CONFIG).state_dict(), CONFIG, tiny_rig())
    return made


@pytest.fixture
def policy():
    return Policy.untrained(CONFIG, tiny_rig(), device="cpu", precision="fp32")


@pytest.mark.slow
def test_the_command_draws_every_episode_and_keeps_its_verdict_with_the_weights(
    bags, folder, tmp_path, capsys
):
    code = main(["replay", str(bags), "--checkpoint", str(folder), "--out", str(tmp_path)])
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["episodes"] == 2 and document["steps"] > 20 and document["action_mm"] > 0
    for name in ("episode_0", "episode_1"):
        for kind in ("actions", "frames"):
            assert cv2.imread(str(tmp_path / f"{name}-{kind}.png")).std() > 1
    kept = verdict.load_verdict(folder)
    assert kept.bags == ("episode_0", "episode_1") and kept.passed == document["passed"] == (code == 0)
    assert code == 3, "an untrained model must fail"


def test_the_policy_gets_the_recorded_observations_and_no_future_frame(bags, policy):
    shown = []
    step = policy.step
    policy.step = lambda observation: shown.append(observation) or step(observation)
    one = replay_bag(policy, Bag(bags / "episode_0"), comparisons=3)
    assert len(one.recorded) == len(shown) == len(one.seconds) and not one.failure
    np.testing.assert_allclose(np.diff(one.seconds), 0.1, atol=1e-6)
    assert [len(comparison.frames) for comparison in one.comparisons] == [2, 2, 2]
    ahead = CONFIG.future_steps
    now, predicted, real = one.comparisons[0].frames["static"]
    view = policy.rig.cameras["static"].view
    np.testing.assert_array_equal(now, view(shown[0].static))
    np.testing.assert_array_equal(real, view(shown[ahead].static))
    assert predicted.shape == (32, 32, 3)


def test_a_policy_that_fails_is_reported_with_the_step(bags, policy):
    with torch.no_grad():
        policy.model.action_head.arm.bias.fill_(float("nan"))
    one = replay_bag(policy, Bag(bags / "episode_0"))
    assert one.failure.startswith("step 0: the action is not finite")
    checks = check_replays([one], policy.rig)
    assert not checks[0].passed and "step 0" in checks[0].text


def test_a_bag_of_another_rig_is_refused(bags, policy):
    other = dataclasses.replace(
        policy.rig, action=dataclasses.replace(policy.rig.action, translation_scale=0.05)
    )
    policy.rig = other
    with pytest.raises(RigError, match="translation_scale"):
        replay_bag(policy, Bag(bags / "episode_0"))


def test_a_bag_that_is_too_short_is_refused(tmp_path, policy):
    demonstration(steps=2).save(tmp_path / "short")
    with pytest.raises(ReplayError, match="short has 2 usable control steps"):
        replay_bag(policy, Bag(tmp_path / "short"))


def made_up(scale: float, gripper: float) -> Replay:
    rng = np.random.default_rng(0)
    recorded = np.append(0.4 * rng.normal(size=(40, 6)), np.ones((40, 1)), 1).astype(np.float32)
    return Replay(
        "made up",
        "x",
        np.arange(40) / 10,
        recorded,
        recorded[:, :6] * scale,
        np.full(40, gripper),
        np.ones(40),
        (),
        "",
    )


@pytest.mark.parametrize(
    ("scale", "gripper", "failed"),
    [
        (1.0, 1.0, set()),
        (0.5, 1.0, set()),
        (0.0, 1.0, {"motion"}),
        (1.0, -1.0, {"gripper"}),
        (-4.0, 1.0, {"motion", "speed"}),
    ],
)
def test_a_replay_passes_only_with_small_errors_and_slow_motion(scale, gripper, failed):
    checks = check_replays([made_up(scale, gripper)], tiny_rig())
    assert {check.name for check in checks if not check.passed} == failed


def test_episodes_that_the_checkpoint_was_trained_on_do_not_count(bags, folder, tmp_path):
    found = [Bag(bags / f"episode_{number}") for number in range(2)]
    root = tmp_path / "data"
    (root / "meta").mkdir(parents=True)
    rows = [
        {"episode_index": number, "name": bag.name, "started": bag.labels["started"]}
        for number, bag in enumerate(found)
    ]
    (root / "meta" / "sources.jsonl").write_text("\n".join(map(json.dumps, rows)))
    checked = tmp_path / "trained"
    shutil.copytree(folder, checked)

    def split(data):
        (checked / "training.json").write_text(json.dumps({"stage": "finetune", "data": data}))
        new, trained, unknown = trained_on.split(checked, found)
        return [bag.name for bag in new], [bag.name for bag in trained], unknown

    train = {"train": {"root": str(root)}}
    assert split(train) == ([], ["episode_0", "episode_1"], "")
    held = train | {"held_out": {"root": str(root), "episodes": [1]}}
    assert split(held) == (["episode_1"], ["episode_0"], "")
    new, trained, unknown = split({"train": {"root": "gone"}})
    assert len(new) == 2 and not trained and "the dataset gone that it was trained on is not here" in unknown
    assert "does not say what it was trained on" in trained_on.split(folder, found)[2]

    split(train)
    words = [
        "replay",
        str(bags / "episode_0"),
        "--checkpoint",
        str(checked),
        "--out",
        str(tmp_path / "plots"),
    ]
    assert main(words) == 4 and verdict.load_verdict(checked) is None
