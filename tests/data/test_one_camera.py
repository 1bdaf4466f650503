"""A rig without a wrist camera: from a LeRobotDataset and from bags through training to a policy's step."""

import json

import numpy as np
import pytest
import yaml

from gr1_core import Observation, Policy, Rig
from gr1_core.cli import main
from gr1_core.data.convert.sources.source import SourceError
from gr1_core.data.dataset import Dataset
from gr1_core.rig import RigError
from tests.train import sets
from tests.train.conftest import CHANGES

from . import public_lerobot
from .public_lerobot import CAMERAS, make, write_mapping, write_rig

QUICK = [*CHANGES, "steps=2", "save_every=2", "evaluation.every=2", "batch=4", "evaluation.windows=4"]


def converted(tmp_path, name="set"):
    root = make(tmp_path / f"{name}-source", lengths=(14, 12, 13), cameras=CAMERAS[:1])
    mapping = write_mapping(tmp_path / "map.yaml", {"cameras.wrist": None})
    words = ["convert", "lerobot", str(root), "--mapping", str(mapping), "--out", str(tmp_path / name)]
    rig = write_rig(tmp_path / "rig.yaml", wrist=False)
    return main([*words, "--rig", str(rig), "--workers", "1"])


def test_one_camera_from_conversion_to_a_step(tmp_path, capsys):
    assert converted(tmp_path) == 0
    data, run = tmp_path / "set", tmp_path / "run"
    assert Dataset(data).roles == ("static",) and list(Dataset(data).rig.cameras) == ["static"]
    words = ["finetune", "finetune-small", *QUICK, f"data={data}", "init=null", f"out={run}"]
    capsys.readouterr()
    assert main(words) == 1
    assert "has no wrist camera: set cameras=static" in capsys.readouterr().err
    assert main([*words, "cameras=static"]) == 0
    assert list(Rig.load(run / "rig.yaml").cameras) == ["static"]

    capsys.readouterr()
    assert main(["evaluate", "data", "--checkpoint", str(run), "--dataset", str(data)]) == 0
    figures = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert figures["windows"] > 0 and "static" in figures and "wrist" not in figures

    policies = [
        Policy.from_pretrained(run, device="cpu", precision="fp32"),
        Policy(*_loaded(run), device="cpu", precision="fp32", static=True),
    ]
    frame = public_lerobot.image(0, 3)
    actions = []
    for policy in policies:
        policy.warm_up()
        policy.reset("stack the cups")
        actions.append(policy.step(Observation(frame, arm=np.zeros(6), gripper=1)))
        future = actions[-1].future()
        assert future.static.shape[2] == 3 and future.wrist is None and future.wrist_patches is None
    np.testing.assert_allclose(actions[0].delta, actions[1].delta, atol=1e-5)


def _loaded(run):
    from gr1_core.model import checkpoint

    return checkpoint.load(run)


def test_a_dataset_with_two_cameras_trains_with_one(tmp_path):
    demonstrations = sets.demonstrations(tmp_path / "both")
    words = ["finetune", "finetune-small", *QUICK, f"data={demonstrations}", "init=null"]
    assert main([*words, f"out={tmp_path / 'run'}", "cameras=static"]) == 0
    assert list(Rig.load(tmp_path / "run" / "rig.yaml").cameras) == ["static"]
    assert (
        main(["evaluate", "data", "--checkpoint", str(tmp_path / "run"), "--dataset", str(demonstrations)])
        == 0
    )


def test_a_mapping_and_a_rig_of_other_cameras_are_refused(tmp_path):
    from gr1_core.data.convert.sources.lerobot import LeRobotSource

    root = make(tmp_path / "set")
    one, both = (
        write_mapping(tmp_path / "a.yaml", {"cameras.wrist": None}),
        write_mapping(tmp_path / "b.yaml"),
    )
    with pytest.raises(
        SourceError, match="cameras.wrist is missing in the mapping, rig 'mine' has the cameras"
    ):
        LeRobotSource(root, one, str(write_rig(tmp_path / "two.yaml")))
    with pytest.raises(SourceError, match="cameras.wrist is mapped, rig 'mine' has no such camera"):
        LeRobotSource(root, both, str(write_rig(tmp_path / "one.yaml", wrist=False)))


def test_a_rig_needs_the_static_camera(tmp_path):
    raw = Rig.load("kinova_gen2").to_dict()
    del raw["cameras"]["static"]
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(RigError, match="missing cameras.static"):
        Rig.load(tmp_path / "rig.yaml")
