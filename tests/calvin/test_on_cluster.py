"""Evaluation and collection in CALVIN's simulator (a stand-in) on a cluster: the results of one machine."""

import json

import numpy as np
import pytest

from gr1_core.cli import main
from tests.calvin.test_evaluate_calvin import make_checkpoint
from tests.data.synthetic import files

pytest.importorskip("distributed")

from tests.cluster.nodes import Nodes  # noqa: E402

MEASURED = ("seconds", "waiting")
TASKS = "open_drawer,close_drawer,turn_on_led,turn_off_led"


@pytest.fixture
def address(calvin_root, tmp_path):
    """Of a scheduler whose worker has the stand-in's packages."""
    (tmp_path / "nodes").mkdir()
    nodes = Nodes(tmp_path / "nodes")
    nodes.start(path=calvin_root / "stubs")
    yield nodes.address
    nodes.close()


def chains(folder) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()[1:]]
    return sorted(
        ({key: value for key, value in row.items() if key not in MEASURED} for row in rows),
        key=lambda row: row["chain"],
    )


def demonstrations(folder) -> tuple[dict, dict]:
    """Digests of all files but the frames, which are archives with dates; the arrays of the frames."""
    frames = sorted(folder.rglob("episode_*.npz"))
    arrays = {f"{path.name}/{name}": array for path in frames for name, array in np.load(path).items()}
    names = {str(path.relative_to(folder)) for path in frames}
    digests = files(folder)
    return {name: digest for name, digest in digests.items() if name not in names}, arrays


def run_here_and_there(calvin_root, address, tmp_path, *words) -> tuple:
    """Runs a command with local processes and on the cluster; returns both folders."""
    folders = tmp_path / "here", tmp_path / "there"
    for out, how in zip(folders, (("--workers", "1"), ("--cluster", address))):
        assert main([*words, "--calvin-root", str(calvin_root), "--out", str(out), *how]) == 0
    return folders


@pytest.mark.slow
def test_the_same_chains(calvin_root, address, tmp_path):
    words = ("evaluate", "calvin", "--expert", "--chains", "3", "--videos", "0")
    here, there = run_here_and_there(calvin_root, address, tmp_path, *words)
    assert chains(here) == chains(there) and len(chains(here)) == 3


def test_the_same_demonstrations(calvin_root, address, tmp_path):
    words = ("collect", "calvin", "--episodes", "4", "--tasks", TASKS, "--seed", "3")
    here, there = run_here_and_there(calvin_root, address, tmp_path, *words)
    (one, frames), (other, same) = demonstrations(here), demonstrations(there)
    assert one == other and frames.keys() == same.keys() and len(frames) > 100
    assert all((array == same[name]).all() for name, array in frames.items())


@pytest.mark.slow
def test_the_same_chain_of_a_policy_and_the_same_video(calvin_root, address, tmp_path):
    policy = make_checkpoint(tmp_path / "checkpoint", "calvin")
    words = ("evaluate", "calvin", "--checkpoint", str(policy), "--chains", "1", "--videos", "1")
    here, there = run_here_and_there(calvin_root, address, tmp_path, *words)
    assert chains(here) == chains(there)
    videos = [(out / "chain-0000.mp4").read_bytes() for out in (here, there)]
    assert videos[0] == videos[1], "what was seen and what was predicted"
