"""On the real simulator: the official chain list, the expert, a policy that does nothing, and the official
loader on what was collected.

`make test-calvin CALVIN_ROOT=DIR`.
"""

import importlib
import json
import os
import sys
import types

import numpy as np
import pytest

from gr1_core.calvin import chains as official
from gr1_core.calvin.checkout import Checkout
from gr1_core.calvin.environment import Simulator
from gr1_core.calvin.expert import TASKS
from gr1_core.cli import main
from gr1_core.data.convert.sources.calvin import CalvinSource

ROOT = os.environ.get("CALVIN_ROOT")
pytestmark = [
    pytest.mark.calvin,
    pytest.mark.skipif(not ROOT, reason="CALVIN_ROOT names no checkout of mees/calvin"),
]


@pytest.fixture(scope="module")
def checkout():
    return Checkout.open(ROOT)


def test_the_chain_list_is_the_published_one(checkout):
    assert official.digest(checkout) == "90191d9ac76baecb4f292ab766bbbf3ae65dbf43a83bbe5c376d99db10fd6446"
    first, *_, last = official.chains(checkout)
    assert first.tasks[:3] == ("rotate_blue_block_right", "move_slider_right", "lift_red_block_slider")
    assert first.tasks[3:] == ("place_in_slider", "turn_off_lightbulb")
    assert last.tasks[:3] == ("move_slider_right", "turn_on_lightbulb", "push_pink_block_left")
    assert last.tasks[3:] == ("open_drawer", "push_into_drawer")


def test_the_tasks_are_those_the_expert_knows(checkout):
    assert set(checkout.tasks()) == set(TASKS) == set(checkout.instructions())


def test_a_chain_starts_in_the_state_that_its_condition_describes(checkout):
    simulator = Simulator(checkout)
    robot, scene = checkout.initial_state_function()(official.chains(checkout, 1)[0].condition)
    simulator.reset(robot, scene)
    assert np.allclose(simulator.state.robot, robot, atol=1e-4)
    assert np.allclose(simulator.state.scene, scene, atol=5e-3)
    seen = simulator.observation()
    assert seen["static"].std() > 20 and seen["wrist"].std() > 20
    simulator.close()


def evaluate(capsys, *arguments):
    assert main(["evaluate", "calvin", "--calvin-root", ROOT, "--renderer", "tiny", *arguments]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_expert_does_nearly_every_task_of_the_first_chains(capsys):
    document = evaluate(capsys, "--expert", "--chains", "10", "--workers", "2")
    assert document["mean"] >= 4.5 and document["chains"] == 10


def test_doing_nothing_solves_nothing(capsys):
    assert evaluate(capsys, "--nothing", "--chains", "5", "--workers", "1")["mean"] == 0


def test_what_is_collected_is_read_by_the_converter_and_by_the_official_loader(
    checkout, tmp_path, monkeypatch
):
    out = tmp_path / "demos"
    arguments = ["--calvin-root", ROOT, "--episodes", "3", "--seed", "7", "--out", str(out), "--workers", "1"]
    assert main(["collect", "calvin", *arguments]) == 0
    source = CalvinSource(out)
    episodes = [episode for unit in source.units() for episode in source.read(unit)]
    assert len(episodes) >= 3

    dataset = official_dataset(monkeypatch, out / "training")
    assert len(dataset) > 0
    item = dataset[0]
    assert item["rgb_obs"]["rgb_static"].shape[1:] == (3, 200, 200) and item["actions"].shape[1:] == (7,)


def official_dataset(monkeypatch, folder):
    """The checkout's own DiskDataset over annotated spans.

    pyhash, which it imports for shuffling alone, is stood in for.
    """
    monkeypatch.setitem(sys.modules, "pyhash", types.SimpleNamespace(fnv1_32=lambda: hash))
    monkeypatch.syspath_prepend(os.path.join(ROOT, "calvin_models"))
    from omegaconf import OmegaConf

    module = importlib.import_module("calvin_agent.datasets.disk_dataset")
    space = OmegaConf.create(
        {
            "rgb_obs": ["rgb_static", "rgb_gripper"], "depth_obs": [], "state_obs": ["robot_obs"],
            "actions": ["rel_actions"], "language": ["language"],
        }
    )  # fmt: skip
    state = OmegaConf.create(
        {
            "n_state_obs": 8, "keep_indices": [[0, 7], [14, 15]], "robot_orientation_idx": [3, 6],
            "normalize": False, "normalize_robot_orientation": False,
        }
    )  # fmt: skip
    return module.DiskDataset(
        datasets_dir=folder, obs_space=space, proprio_state=state, key="lang", lang_folder="lang_annotations",
        num_workers=0, transforms={}, batch_size=1, min_window_size=4, max_window_size=8, pad=True,
        aux_lang_loss_window=1, skip_frames=1, save_format="npz",
    )  # fmt: skip
