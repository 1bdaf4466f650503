"""What is wrong with a checkpoint is named."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from gr1_core import GR1Config, Policy, Rig
from gr1_core.model import checkpoint
from gr1_core.model.checkpoint import CheckpointError


def test_saved_and_loaded_is_the_same(tmp_path, tiny_model):
    checkpoint.save(tmp_path / "c", tiny_model.state_dict(), tiny_model.config, Rig.load("kinova_gen2"))
    model, rig = checkpoint.load(tmp_path / "c")
    assert model.config == tiny_model.config and rig == Rig.load("kinova_gen2")
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in tiny_model.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        "config.json",
        "model.safetensors",
        "policy_postprocessor.json",
        "policy_preprocessor.json",
        "rig.yaml",
    ]
    assert len({path.stat().st_mode for path in (tmp_path / "c").iterdir()}) == 1, (
        "one file is more private than the others"
    )
    assert model.parameter_counts() == tiny_model.parameter_counts()


def damaged(tmp_path, tiny, change):
    folder = tmp_path / "damaged"
    shutil.copytree(tiny, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda w: w["resampler.latents"].fill_(float("nan")), "NaN or infinite values in resampler.latents"),
        (lambda w: w.pop("embed_time"), "1 missing: embed_time"),
        (lambda w: w.update(extra=torch.zeros(1)), "1 unknown: extra"),
        (
            lambda w: w.update(embed_time=torch.zeros(3, 3)),
            r"embed_time is \[3, 3\], the configuration says \[10, 48\]",
        ),
    ],
)
def test_wrong_weights_are_named(tmp_path, tiny, change, said):
    with pytest.raises(CheckpointError, match=said):
        Policy.from_pretrained(damaged(tmp_path, tiny, change))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "rig.yaml"])
def test_a_missing_file_is_named(tmp_path, tiny, name):
    shutil.copytree(tiny, tmp_path / "c")
    (tmp_path / "c" / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load(tmp_path / "c")


@pytest.mark.parametrize("name, content, said", [
    ("model.safetensors", b"short", "damaged"),
    ("config.json", b"{", "not JSON"),
    ("config.json", b"{}", "missing"),
    ("rig.yaml", b"name: x", "missing"),
])  # fmt: skip
def test_a_damaged_file_is_named(tmp_path, tiny, name, content, said):
    shutil.copytree(tiny, tmp_path / "c")
    (tmp_path / "c" / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        checkpoint.load(tmp_path / "c")
    assert name in str(caught.value)


def test_a_folder_that_is_not_there_and_a_snapshot_in_its_place(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        checkpoint.load(tmp_path / "nowhere")
    (tmp_path / "snapshot_ABCD.pt").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="import-official"):
        checkpoint.load(tmp_path / "snapshot_ABCD.pt")


def test_a_full_disk_leaves_no_half_file(tmp_path, tiny_model):
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "config.json").mkdir()
    with pytest.raises(CheckpointError, match="config.json: Is a directory"):
        checkpoint.save(blocked, tiny_model.state_dict(), GR1Config.demo(), Rig.load("calvin"))
    assert [path.name for path in blocked.iterdir()] == ["config.json"]


def test_a_configuration_that_lerobot_wrote_is_read_as_ours(tmp_path, tiny_model):
    checkpoint.save(tmp_path, tiny_model.state_dict(), tiny_model.config, Rig.load("kinova_gen2"))
    raw = json.loads((tmp_path / "config.json").read_text())
    assert raw["type"] == "gr1"
    (tmp_path / "config.json").write_text(json.dumps(raw | {"device": "cpu", "n_obs_steps": 1}))
    assert checkpoint.load_model(tmp_path).config == tiny_model.config
    del raw["type"]
    (tmp_path / "config.json").write_text(json.dumps(raw | {"device": "cpu"}))
    with pytest.raises(CheckpointError, match="device is unknown"):
        checkpoint.load_model(tmp_path)
