"""The user's checkout is used as it is; what is wrong with it is named with its remedy."""

import subprocess
import sys

import numpy as np
import pytest

from gr1_core.calvin import chains as official
from gr1_core.calvin.checkout import Checkout, CheckoutError, fnv1_32
from gr1_core.calvin.environment import Simulator
from gr1_core.calvin.expert import TASKS
from tests.calvin.stand_in import make_checkout


def test_importing_the_package_imports_no_simulator():
    code = """
import sys
import gr1_core.calvin, gr1_core.calvin.expert, gr1_core.cli
print([name for name in ("pybullet", "hydra", "torch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_folder_the_message_says_what_to_clone(monkeypatch):
    monkeypatch.delenv("CALVIN_ROOT", raising=False)
    with pytest.raises(
        CheckoutError, match=r"--calvin-root DIR or set CALVIN_ROOT; clone https://github.com/mees/calvin,"
    ):
        Checkout.open()


def test_the_environment_variable_names_the_folder(calvin_root, monkeypatch):
    monkeypatch.setenv("CALVIN_ROOT", str(calvin_root))
    assert Checkout.open().root == calvin_root


def test_a_checkout_without_calvin_env_is_refused_with_the_remedy(calvin_root):
    (calvin_root / "calvin_env/conf/env/play_table_env.yaml").unlink()
    with pytest.raises(
        CheckoutError, match="play_table_env.yaml is missing: clone https://github.com/mees/calvin_env"
    ):
        Checkout.open(calvin_root)


def test_missing_packages_are_named_with_how_to_install_them(calvin_root, monkeypatch):
    (calvin_root / "stubs/hydra.py").unlink()
    monkeypatch.setattr("gr1_core.calvin.checkout._is_installed", lambda name: name != "hydra")
    with pytest.raises(CheckoutError, match=r"needs hydra-core: `make calvin`, or `pip install hydra-core`"):
        Checkout.open(calvin_root).require_packages()


def test_a_calvin_env_before_797142c_is_warned_of(tmp_path):
    assert Checkout.open(make_checkout(tmp_path / "new")).warnings() == []
    (warning,) = Checkout.open(make_checkout(tmp_path / "old", button="old")).warnings()
    assert "older than 797142c" in warning and "changes the score" in warning


def test_commits_of_a_clone_and_of_an_archive(tmp_path):
    root = make_checkout(tmp_path)
    assert Checkout.open(root).commits() == {"calvin": "unknown", "calvin_env": "unknown"}
    git = ["git", "-C", str(root / "calvin_env"), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert Checkout.open(root).commits() == {"calvin": "unknown", "calvin_env": head}
    (root / "calvin_env/conf/robot/panda.yaml").write_text("{}")
    assert Checkout.open(root).commits()["calvin_env"] == f"{head}+modified"


def test_the_hash_of_initial_conditions_is_pyhashs():
    assert fnv1_32("hello world") == 2805756500


def test_functions_are_taken_out_of_files_whose_imports_are_not_installed(calvin_root):
    checkout = Checkout.open(calvin_root)
    state = np.random.get_state()[1].tolist()
    robot, scene = checkout.initial_state_function()({"led": 1, "drawer": "open"})
    assert (robot.shape, scene.shape, scene[5], scene[1]) == ((15,), (24,), 1, 0.22)
    assert np.random.get_state()[1].tolist() == state
    assert checkout.instructions()["open_drawer"] == "please open drawer" and set(checkout.tasks()) == set(
        TASKS
    )


def test_chains_are_those_of_worker_processes_and_leave_the_random_state_alone(calvin_root):
    checkout = Checkout.open(calvin_root)
    np.random.seed(5)
    state = np.random.get_state()[1].tolist()
    made = official.make(checkout, 40)
    assert np.random.get_state()[1].tolist() == state
    module = checkout.sequences_module()
    # In processes of their own the seeds of the workers do not reach the shuffle.
    rows, seeds = [], [len(part) for part in np.array_split(range(40), 4)]
    for seed, count in enumerate(seeds):
        rows += module["get_sequences_for_state2"](({}, count, seed))
    np.random.seed(0)
    assert [tuple(tasks) for _, tasks in made] == [rows[index] for index in np.random.permutation(40)]


def test_chains_are_kept_in_the_cache_with_their_hash_and_made_anew_if_it_was_edited(calvin_root):
    checkout = Checkout.open(calvin_root)
    listed, digest = official.chains(checkout), official.digest(checkout)
    (path,) = official.cache_folder().iterdir()
    assert len(listed) == 1000 and digest in path.read_text()
    path.write_text(path.read_text().replace("open_drawer", "close_drawer", 1))
    assert official.chains(checkout) == listed and official.digest(checkout) == digest
    with pytest.raises(CheckoutError, match="--chains 1001: the official list has 1000 chains"):
        official.chains(checkout, 1001)


def test_the_simulator_gets_a_fresh_array_of_floats_and_a_gripper_of_one_or_minus_one(calvin_root):
    simulator = Simulator(Checkout.open(calvin_root))
    simulator.reset(np.zeros(15), np.zeros(24))
    delta = np.array([0.5, 0, 0, 0, 0, 0], np.float32)
    for gripper, command in ((0.2, 1.0), (-0.7, -1.0)):
        simulator.step(delta, gripper)
        assert simulator.state.gripper == command
    assert delta[0] == 0.5 and simulator.state.tcp[0] == pytest.approx(0.02)
    assert simulator.target()[0] == pytest.approx(0.02)


def test_observations_are_contiguous_copies_of_the_rigs_two_cameras(calvin_root, capfd):
    simulator = Simulator(Checkout.open(calvin_root))
    simulator.reset(np.zeros(15), np.zeros(24))
    seen = simulator.observation()
    assert set(seen) == {"static", "wrist", "arm", "gripper"} and seen["gripper"] in (1.0, -1.0)
    assert seen["static"].shape == (200, 200, 3) and seen["wrist"].shape == (84, 84, 3)
    assert all(seen[role].flags.c_contiguous and seen[role].dtype == np.uint8 for role in ("static", "wrist"))
    simulator.render = False
    simulator.step(np.zeros(6), 1)
    assert set(simulator.observation()) == {"arm", "gripper"}
    simulator.close()
    assert capfd.readouterr().out == ""
