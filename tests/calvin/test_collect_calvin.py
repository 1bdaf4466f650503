"""`gr1 collect calvin` writes the official layout, continues, and `gr1 convert calvin` reads it."""

import json

import numpy as np
import pytest
import yaml

from gr1_core.cli import main
from gr1_core.data.convert.sources.calvin import CalvinSource

PARTS = {"open_drawer", "close_drawer", "turn_on_led", "turn_off_led"}


def collect(root, out, episodes=4, *more):
    where = ["--calvin-root", str(root), "--out", str(out), "--workers", "1"]
    what = ["--episodes", str(episodes), "--tasks", ",".join(sorted(PARTS)), "--seed", "3"]
    return main(["collect", "calvin", *where, *what, *more])


@pytest.fixture
def collected(calvin_root, tmp_path):
    assert collect(calvin_root, tmp_path / "demos") == 0
    return tmp_path / "demos"


def frames(folder):
    return {
        int(path.stem.split("_")[1]): dict(np.load(path)) for path in sorted(folder.glob("episode_*.npz"))
    }


def test_the_official_layout(collected):
    training = collected / "training"
    stored = frames(training)
    bounds, lengths = np.load(training / "ep_start_end_ids.npy"), np.load(training / "ep_lens.npy")
    assert bounds.dtype == lengths.dtype == np.int64 and (bounds[:, 1] - bounds[:, 0] + 1 == lengths).all()
    assert sorted(stored) == [number for first, last in bounds for number in range(first, last + 1)]
    shapes = {
        "actions": (7,), "rel_actions": (7,), "robot_obs": (15,), "scene_obs": (24,),
        "rgb_static": (200, 200, 3), "rgb_gripper": (84, 84, 3),
        "depth_static": (200, 200), "depth_gripper": (84, 84),
    }  # fmt: skip
    for frame in stored.values():
        assert {name: array.shape for name, array in frame.items()} == shapes
        assert np.abs(frame["rel_actions"]).max() <= 1 and frame["rel_actions"][6] in (-1, 1)
        step = frame["actions"][:3] - frame["robot_obs"][:3]
        assert np.allclose(step, 0.02 * frame["rel_actions"][:3])
    annotations = np.load(training / "lang_annotations/auto_lang_ann.npy", allow_pickle=True).item()
    spans, tasks = annotations["info"]["indx"], annotations["language"]["task"]
    assert len(spans) == len(tasks) >= 4 and set(tasks) <= PARTS
    assert annotations["language"]["ann"] == [f"{task.replace('_', ' ')} now" for task in tasks]
    assert annotations["language"]["emb"].shape[:2] == (len(tasks), 1)
    assert all(number in stored for first, last in spans for number in range(first, last + 1))
    statistics = yaml.safe_load((training / "statistics.yaml").read_text())
    mean = np.mean([frame["robot_obs"] for frame in stored.values()], axis=0)
    assert (
        np.allclose(statistics["robot_obs"][0]["mean"], mean, atol=1e-5)
        and len(statistics["act_max_bound"]) == 7
    )
    assert (training / ".hydra/merged_config.yaml").is_file() and len(list(training.glob("*.npz"))) == len(
        stored
    )


def test_the_converter_reads_it(collected):
    source = CalvinSource(collected)
    episodes = [episode for unit in source.units() for episode in source.read(unit)]
    assert len(episodes) >= 4 and all(type(one).__name__ == "Episode" for one in episodes)
    assert (
        main(["convert", "calvin", str(collected), "--out", str(collected.parent / "data"), "--workers", "1"])
        == 0
    )


def test_an_interrupted_collection_makes_the_missing_chains_again_and_only_those(
    calvin_root, collected, tmp_path, capsys
):
    rows = (collected / "chains.jsonl").read_text().splitlines()
    before = frames(collected / "training")
    last = json.loads(rows[-1])
    (collected / "chains.jsonl").write_text("".join(f"{row}\n" for row in rows[:-1]))
    times = {path: path.stat().st_mtime_ns for path in (collected / "training").glob("*.npz")}
    assert collect(calvin_root, collected) == 0
    after = frames(collected / "training")
    assert sorted(after) == sorted(before)
    assert all(
        (after[number][name] == array).all() for number in before for name, array in before[number].items()
    )
    redone = {path.stem for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert redone == {
        f"episode_{number:07d}" for number in range(last["first"], last["first"] + last["frames"])
    }


def test_other_settings_in_the_same_folder_are_refused(calvin_root, collected, capsys):
    assert collect(calvin_root, collected, 4, "--noise", "0.1") == 1
    assert "was begun with other settings (noise was 0.3)" in capsys.readouterr().err


def test_an_unknown_task_is_refused(calvin_root, tmp_path, capsys):
    arguments = ["--episodes", "1", "--tasks", "open_drawers", "--out", str(tmp_path / "out")]
    assert main(["collect", "calvin", "--calvin-root", str(calvin_root), *arguments]) == 1
    assert "open_drawers is not one of CALVIN's 34 tasks" in capsys.readouterr().err


def test_labels_are_the_experts_while_noise_moves_the_arm(collected):
    stored = frames(collected / "training")
    pairs = [(stored[number], stored[number + 1]) for number in stored if number + 1 in stored]
    drift = [
        after["robot_obs"][:3] - before["robot_obs"][:3] - 0.02 * before["rel_actions"][:3]
        for before, after in pairs
    ]
    assert np.abs(drift).max() > 1e-4


def test_single_frames_are_moments_with_the_experts_action_for_the_instruction_of_each(calvin_root, tmp_path):
    out = tmp_path / "moments"
    where = ["--calvin-root", str(calvin_root), "--out", str(out), "--workers", "1", "--seed", "3"]
    what = ["--single-frames", "30", "--tasks", ",".join(sorted(PARTS)), "--noise", "0"]
    assert main(["collect", "calvin", *where, *what]) == 0
    training = out / "training"
    stored, bounds = frames(training), np.load(training / "ep_start_end_ids.npy")
    annotations = np.load(training / "lang_annotations/auto_lang_ann.npy", allow_pickle=True).item()
    spans, tasks = np.array(annotations["info"]["indx"]), annotations["language"]["task"]
    assert len(spans) >= 30 and (spans[:, 0] == spans[:, 1]).all() and (bounds == spans).all()
    assert set(tasks) <= PARTS and sorted(stored) == spans[:, 0].tolist()
    # The same moment with several instructions: one image, different actions.
    by_image = {}
    for (number, _), task in zip(spans.tolist(), tasks):
        by_image.setdefault(stored[number]["robot_obs"].tobytes(), {})[task] = stored[number]["rel_actions"]
    several = [actions for actions in by_image.values() if len(actions) > 1]
    assert any(len({a.tobytes() for a in actions.values()}) > 1 for actions in several)
    source = CalvinSource(out)
    episodes = [episode for unit in source.units() for episode in source.read(unit)]
    assert {len(episode.action) for episode in episodes} == {1} and len(episodes) == len(spans)
