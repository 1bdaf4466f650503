"""A run that begins with a snapshot file of ByteDance's, without a folder made of it first."""

import json

import torch

from gr1_core.model.official import read_config
from gr1_core.train import recipe
from gr1_core.train.setup import train

from ..core import golden
from .conftest import CHANGES


def test_finetuning_begins_with_a_snapshot_file(tmp_path, demonstrations):
    (tmp_path / "configs.json").write_text(json.dumps(golden.RECORD["config"]))
    sizes = {
        key: value
        for key, value in read_config(tmp_path / "configs.json").to_dict().items()
        if key not in ("policy", "vision", "resampler", "text", "frames", "chunk")
    }
    state = torch.load(golden.FOLDER / "tiny_snapshot.pt", weights_only=True)["state_dict"]
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "s.pt")
    changes = [
        *CHANGES[1:],
        f"model={ {'size': 'demo'} | sizes }",
        "steps=1",
        "batch=2",
        "evaluation.windows=2",
        "evaluation.images=0",
        f"init={tmp_path / 's.pt'}",
        f"data={demonstrations}",
        f"out={tmp_path / 'run'}",
    ]
    assert train(recipe.load("finetune-small", changes)) == 0
    report = json.loads((tmp_path / "run" / "tensors.json").read_text())
    assert report["new"] == [] and report["source"] == str(tmp_path / "s.pt")
