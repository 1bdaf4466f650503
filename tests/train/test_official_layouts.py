"""From the official files of Ego4D and CALVIN to a policy, with the commands that a user types."""

import json

import numpy as np

from gr1_core import Observation, Policy
from gr1_core.cli import main
from tests.data import calvin_fixture, ego4d_fixture

from .conftest import CHANGES


def test_ego4d_pretrains_and_calvin_finetunes_from_it(tmp_path, capfd):
    ego4d, calvin = ego4d_fixture.make(tmp_path), calvin_fixture.make(tmp_path, spans=4, length=20)
    (ego4d / "v2" / "full_scale" / f"{ego4d_fixture.UIDS[0]}.mp4").write_bytes(b"not a video")
    damaged = sorted((calvin / "training").glob("episode_*.npz"))[20]
    damaged.write_bytes(damaged.read_bytes()[:200])

    assert main(["convert", "ego4d", str(ego4d), "--out", str(tmp_path / "clips"), "--workers", "1"]) == 0
    assert main(["convert", "calvin", str(calvin), "--out", str(tmp_path / "set"), "--workers", "1"]) == 0
    said = "".join(capfd.readouterr())
    assert ego4d_fixture.UIDS[0] in said and damaged.name in said, "what was skipped is named"

    changes = [*CHANGES, "steps=3", "save_every=3", "evaluation.every=3", "batch=4"]
    assert (
        main(
            ["pretrain", "pretrain-small", *changes, f"data={tmp_path / 'clips'}", f"out={tmp_path / 'pre'}"]
        )
        == 0
    )
    given = [f"data={tmp_path / 'set'}", f"init={tmp_path / 'pre'}", f"out={tmp_path / 'policy'}"]
    assert main(["finetune", "finetune-small", *changes, *given]) == 0

    record = json.loads((tmp_path / "policy" / "training.json").read_text())
    assert (record["stage"], record["step"]) == ("finetune", 3)
    policy = Policy.from_pretrained(tmp_path / "policy", device="cpu", precision="fp32")
    assert policy.rig.name == "calvin"
    policy.reset("open the drawer")
    frames = np.zeros((200, 200, 3), np.uint8), np.zeros((84, 84, 3), np.uint8)
    assert np.isfinite(policy.step(Observation(*frames, arm=np.zeros(6), gripper=1)).delta).all()
