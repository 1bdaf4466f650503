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
    frames = sorted((folder / "demonstrations").rglob("episode_*.npz"))
    arrays = {f"{path.name}/{name}": array for path in frames for name, array in np.load(path).items()}
    names = {str(path.relative_to(folder / "demonstrations")) for path in frames}
    digests = files(folder / "demonstrations")
    return {name: digest for name, digest in digests.items() if name not in names}, arrays


def test_the_same_chains_videos_and_demonstrations(calvin_root, address, tmp_path):
    policy = make_checkpoint(tmp_path / "checkpoint", "calvin")
    here, there = tmp_path / "here", tmp_path / "there"
    where = {here: ("--workers", "1"), there: ("--cluster", address)}
    root = ("--calvin-root", str(calvin_root))
    for out, how in where.items():
        words = ["evaluate", "calvin", "--checkpoint", str(policy), *root, "--chains", "1", "--videos", "1"]
        assert main([*words, "--out", str(out / "evaluation"), *how]) == 0
        words = ["collect", "calvin", *root, "--episodes", "4", "--tasks", TASKS, "--seed", "3"]
        assert main([*words, "--out", str(out / "demonstrations"), *how]) == 0
    assert chains(here / "evaluation") == chains(there / "evaluation")
    videos = [(out / "evaluation" / "chain-0000.mp4").read_bytes() for out in where]
    assert videos[0] == videos[1], "what was seen and what was predicted"
    (one, frames), (other, same) = demonstrations(here), demonstrations(there)
    assert one == other and frames.keys() == same.keys() and len(frames) > 100
    assert all((array == same[name]).all() for name, array in frames.items())
