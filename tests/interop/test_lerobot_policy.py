"""GR-1 as a policy of the real lerobot library, found by its plug-in discovery: `lerobot-train`,
`lerobot-eval`, the same actions as our runtime, and checkpoints that go both ways.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gr1_core import GR1Config, Observation, Policy, Rig
from gr1_core.data.convert import conversion
from gr1_core.data.dataset import Dataset
from gr1_core.model import checkpoint, factory
from gr1_core.model.checkpoint import CheckpointError
from tests.data.synthetic import Synthetic

pytestmark = pytest.mark.lerobot
pytest.importorskip(
    "lerobot.policies.factory",
    reason="lerobot is not in this environment: make test-lerobot",
    exc_type=ImportError,
)

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402
from lerobot.policies.factory import get_policy_class, make_pre_post_processors  # noqa: E402
from lerobot.utils.import_utils import register_third_party_plugins  # noqa: E402

register_third_party_plugins()
STEPS = 50
SMALL = {
    "window": 2, "width": 32, "heads": 2, "layers": 1, "mlp_width": 64, "image_size": 32, "patch_size": 16,
    "vision_width": 32, "text_dim": 16, "decoder_heads": 2, "decoder_layers": 1, "latents": 4,
}  # fmt: skip


def lerobot(script: str, *words: str) -> str:
    """Runs one of lerobot's commands and returns its output."""
    run = subprocess.run(
        [sys.executable, "-m", f"lerobot.scripts.{script}", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=600,
    )
    said = run.stdout + run.stderr
    assert run.returncode == 0, said[-4000:]
    return said


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Four episodes in the layout that `gr1 convert` writes."""
    root = tmp_path_factory.mktemp("data") / "set"
    conversion.convert(Synthetic(), root, workers=1, progress=False)
    return Dataset(root)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory) -> Path:
    """The folder of a policy after 50 steps of lerobot-train."""
    out = tmp_path_factory.mktemp("train") / "run"
    lerobot(
        "lerobot_train",
        "--dataset.repo_id=somebody/something",
        f"--dataset.root={dataset.root}",
        "--policy.type=gr1",
        "--policy.device=cpu",
        "--policy.push_to_hub=false",
        *(f"--policy.{name}={value}" for name, value in SMALL.items()),
        f"--output_dir={out}",
        f"--steps={STEPS}",
        "--batch_size=8",
        "--num_workers=0",
        "--log_freq=10",
        "--eval_freq=0",
    )
    return out / "checkpoints" / "last" / "pretrained_model"


def lerobot_policy(folder):
    policy = get_policy_class("gr1").from_pretrained(folder)
    return policy, *make_pre_post_processors(policy.config, pretrained_path=str(folder))


def assert_same_actions(folder, dataset, steps: int):
    """Our runtime's actions and lerobot's, over the frames of the dataset as one episode."""
    policy, before, after = lerobot_policy(folder)
    ours = Policy.from_pretrained(folder, device="cpu", precision="fp32")
    frames = LeRobotDataset("somebody/something", root=dataset.root)
    ours.reset("lift the cup")
    policy.reset()
    for step in range(steps):
        item = frames[step % len(frames)]
        keys = [key for key in item if key.startswith("observation.") and not key.endswith("_is_pad")]
        theirs = after(
            policy.select_action(before({key: item[key] for key in keys} | {"task": "lift the cup"}))
        )
        row = step % dataset.length
        state = dataset.state[row]
        action = ours.step(
            Observation(
                static=dataset.image("static", row),
                wrist=dataset.image("wrist", row),
                arm=state[:6].astype(np.float64),
                gripper=float(np.sign(state[6])),
            )
        )
        np.testing.assert_allclose(theirs[0, :6].numpy(), action.delta, atol=1e-5)
        assert theirs[0, 6] == action.gripper


def test_lerobot_train_learns_and_saves_a_checkpoint_of_ours(trained, dataset):
    model, rig = checkpoint.load(trained)
    assert model.config.window == SMALL["window"] and rig == dataset.rig
    config = json.loads((trained / "config.json").read_text())
    assert config["type"] == "gr1" and config["rig"] == ""


def test_both_runtimes_give_the_same_actions(trained, dataset):
    assert_same_actions(trained, dataset, 50)


def test_a_checkpoint_of_ours_is_loaded_with_strict_names(tmp_path, dataset):
    model = factory.new_model(GR1Config(**GR1Config.small().to_dict() | SMALL))
    folder = tmp_path / "ours"
    checkpoint.save(folder, model.state_dict(), model.config, dataset.rig)
    assert_same_actions(folder, dataset, 4)
    saved = tmp_path / "theirs"
    lerobot_policy(folder)[0].save_pretrained(saved)
    for name, value in checkpoint.load_model(saved).state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    weights = {name: value for name, value in model.state_dict().items() if name != "embed_time"}
    checkpoint.save(folder, weights, model.config, dataset.rig)
    with pytest.raises(CheckpointError, match="1 missing: embed_time"):
        lerobot_policy(folder)


def test_training_continues_from_a_checkpoint_of_ours(trained, dataset, tmp_path):
    """--policy.path, as for any policy of lerobot."""
    said = lerobot(
        "lerobot_train",
        "--dataset.repo_id=somebody/something",
        f"--dataset.root={dataset.root}",
        f"--policy.path={trained}",
        "--policy.push_to_hub=false",
        f"--output_dir={tmp_path / 'run'}",
        "--steps=2",
        "--batch_size=4",
        "--num_workers=0",
        "--log_freq=1",
        "--eval_freq=0",
    )
    assert "loss" in said
    assert checkpoint.load(tmp_path / "run" / "checkpoints" / "last" / "pretrained_model")


def test_lerobot_eval_rolls_the_shipped_policy_out_in_the_twin(tmp_path):
    from gr1_core.pretrained import resolve

    lerobot(
        "lerobot_eval",
        f"--policy.path={resolve('demo')}",
        "--policy.device=cpu",
        "--env.type=gr1_twin",
        "--env.task=close_drawer",
        "--env.seconds=4",
        "--eval.n_episodes=1",
        "--eval.batch_size=1",
        f"--output_dir={tmp_path}",
    )
    assert json.loads((tmp_path / "eval_info.json").read_text())["overall"]["n_episodes"] == 1


def test_features_that_do_not_fit_are_named(dataset):
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot_policy_gr1 import GR1Config as PolicyConfig
    from lerobot_policy_gr1.modeling_gr1 import GR1Policy

    config = PolicyConfig(**SMALL, device="cpu", rig="kinova_gen2")
    image = PolicyFeature(FeatureType.VISUAL, (3, 8, 8))
    config.input_features = {"observation.images.front": image}
    with pytest.raises(ValueError, match="needs the feature 'observation.images.static'"):
        GR1Policy(config)
    config.input_features = {f"observation.images.{role}": image for role in Rig.load("kinova_gen2").cameras}
    config.input_features["observation.state"] = PolicyFeature(FeatureType.STATE, (14,))
    with pytest.raises(ValueError, match=r"has shape \(14,\), GR-1 needs \(7,\)"):
        GR1Policy(config)
