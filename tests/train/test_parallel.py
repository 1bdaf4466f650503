"""However a global batch is cut, losses and weights are the same but for rounding."""

import json
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from gr1_core.train import recipe
from gr1_core.train.setup import train

from .conftest import CHANGES

# Three steps, each one logged; no dropout, whose random numbers are each process's own.
THREE = [
    "init=null",
    "model.dropout=0",
    "steps=3",
    "evaluation.every=1",
    "batch=8",
    "shift.static=3",
    "colour=0.1",
    "optimizer.ema=0.9",
]


def result(folder) -> tuple[list[dict], dict]:
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return log, load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def changes(demonstrations):
    return [*CHANGES, *THREE, f"data={demonstrations}"]


@pytest.fixture(scope="module")
def whole(changes, tmp_path_factory):
    """One process, all of the batch at once."""
    folder = tmp_path_factory.mktemp("whole")
    train(recipe.load("finetune-small", [*changes, f"out={folder}"]))
    return result(folder)


def same(one, other) -> None:
    assert len(one[0]) == len(other[0]) == 3
    for mine, theirs in zip(one[0], other[0]):
        assert mine["train"] == pytest.approx(theirs["train"], rel=1e-5)
        held = mine["held_out"]
        assert {key: value for key, value in held.items() if key != "baselines"} == pytest.approx(
            {key: value for key, value in theirs["held_out"].items() if key != "baselines"}, rel=1e-4
        )
        assert held["baselines"]["mean_action"] == pytest.approx(
            theirs["held_out"]["baselines"]["mean_action"]
        )
    for name, tensor in one[1].items():
        torch.testing.assert_close(
            tensor, other[1][name], rtol=1e-4, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_two_processes_give_what_one_gives_with_the_doubled_batch(changes, whole, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--master-addr=127.0.0.1",
        f"--master-port={port}",
    ]
    command = [*launcher, "-m", "gr1_core", "finetune", "finetune-small", *changes, f"out={tmp_path / 'two'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "on 2 x cpu" in done.stdout
    same(result(tmp_path / "two"), whole)


def test_micro_batches_give_what_the_whole_batch_gives(changes, whole, tmp_path):
    assert train(recipe.load("finetune-small", [*changes, f"out={tmp_path / 'micro'}", "micro_batch=3"])) == 0
    same(result(tmp_path / "micro"), whole)


def test_a_batch_that_does_not_divide_is_refused(changes, tmp_path):
    from gr1_core.train.batch_schedule import BatchSchedule

    with pytest.raises(ValueError, match="choose a multiple of 3"):
        BatchSchedule(
            recipe.load("finetune-small", [*changes, f"out={tmp_path}"]), torch.arange(100).numpy(), 0, 3
        )
