"""`gr1 collect sim --to dataset`: the same dataset as by way of bags; with --vary other scenes, and labels
that stay the expert's.
"""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gr1_core import GR1, GR1Config, cli, images
from gr1_core.data.convert import conversion
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.convert.sources.source import Skipped
from gr1_core.data.dataset import Dataset
from gr1_core.model import checkpoint
from gr1_core.rig import ROLES
from gr1_core.sim import Pose, Twin
from gr1_core.sim.collection import disturbance
from gr1_core.sim.collection.bags import EpisodeSpec, collect_bags, plan_episodes
from gr1_core.sim.collection.dataset_source import EpisodeGenerator, SimulationSource
from gr1_core.sim.objects import catalogue
from gr1_core.sim.state import StateView
from gr1_core.sim.tasks import TASKS
from tests.data.synthetic import tiny_rig

RIG = tiny_rig()
CONFIG = dataclasses.replace(GR1Config.demo(), layers=1, vision_layers=1, image_size=32, text_layers=1)
EPISODES = plan_episodes("close_drawer,open_drawer", 2, 1000)


def frames(dataset: Dataset) -> list[dict]:
    """Of each episode: text, states, actions and encoded images."""
    return [
        {
            "text": dataset.tasks[dataset.task_of[number]],
            "state": dataset.state[row["start"] : row["end"]],
            "action": dataset.action[row["start"] : row["end"]],
        }
        | {
            role: [bytes(dataset.encoded(role, index)) for index in range(row["start"], row["end"])]
            for role in ROLES
        }
        for number, row in enumerate(dataset.episodes)
    ]


def test_without_vary_the_dataset_equals_the_conversion_of_bags(tmp_path):
    assert all(success for _, success, _ in collect_bags(EPISODES, tmp_path / "bags", RIG))
    conversion.convert(BagSource(tmp_path / "bags"), tmp_path / "converted", workers=1, progress=False)
    conversion.convert(SimulationSource(RIG, EPISODES), tmp_path / "straight", workers=1, progress=False)
    straight, converted = (Dataset(tmp_path / name, tmp_path / "cache") for name in ("straight", "converted"))
    assert straight.rig == converted.rig == RIG and straight.fps == converted.fps == 10
    for mine, theirs in zip(frames(straight), frames(converted), strict=True):
        assert mine["text"] == theirs["text"]
        np.testing.assert_array_equal(mine["state"], theirs["state"])
        np.testing.assert_array_equal(mine["action"], theirs["action"])
        assert all(mine[role] == theirs[role] for role in ROLES)


@pytest.fixture(scope="module")
def varied():
    source = SimulationSource(RIG, plan_episodes("close_drawer", 6, 2000), vary=True)
    (unit,) = source.units()
    return source, unit, [item for item in source.read(unit) if not isinstance(item, Skipped)]


def test_varied_episodes_differ_in_appearance_and_start(varied):
    _, _, episodes = varied
    assert len(episodes) >= 5
    starts = np.array([episode.state[0, :3] for episode in episodes])
    assert np.ptp(starts, axis=0).max() > 0.05, "all begin at the same place"
    corners = np.array(
        [images.decode(episode.images["static"][0])[:4, -8:].mean((0, 1)) for episode in episodes]
    )
    assert np.ptp(corners, axis=0).max() > 25, "the backgrounds are all alike"
    assert all(episode.task in TASKS["close_drawer"].instructions for episode in episodes)


def test_a_varied_episode_is_reproducible(varied):
    source, unit, episodes = varied
    again = next(item for item in source.read(unit) if not isinstance(item, Skipped))
    assert again.task == episodes[0].task and again.images == episodes[0].images
    np.testing.assert_array_equal(again.state, episodes[0].state)
    np.testing.assert_array_equal(again.action, episodes[0].action)


def test_start_poses_keep_clear_of_distractors():
    crowded = [objects for objects in map(catalogue.training_objects, range(100)) if objects.distractors]
    starts = [
        (disturbance.sample_start_pose(np.random.default_rng(seed), objects), objects)
        for seed, objects in enumerate(crowded * 10)
    ]
    assert sum(start is not None for start, _ in starts) > 200
    for start, objects in starts:
        for item in objects.distractors if start else ():
            x, y, z = start.position
            aside, over = np.hypot(x - item.x, y - item.y) - item.radius, z - item.height
            assert aside >= 0.06 or over >= 0.08, (
                f"{start.position} is {aside:.3f} m beside the {item.category} and {over:.3f} m over it"
            )


def test_a_start_that_the_arm_does_not_reach_is_left_out_with_its_reason(monkeypatch):
    monkeypatch.setattr(
        disturbance, "sample_start_pose", lambda rng, objects: Pose(np.array([1.4, 0.0, 0.2]))
    )
    with EpisodeGenerator(RIG, catalogue.STANDARD_OBJECTS) as generator:
        left_out = generator.generate_episode(EpisodeSpec("close_drawer", 3000), True)
    assert left_out.intended and "does not reach the start pose [1.4, 0.0, 0.2] m" in left_out.reason


def test_labels_are_the_experts_although_the_arm_is_disturbed(varied):
    """An undisturbed arm moves by its labels, one period late; in some of these episodes it does not."""
    _, _, episodes = varied
    unit = RIG.action.translation_scale
    off = []
    for episode in episodes:
        moved = np.diff(episode.state[:, :3], axis=0)[1:] / unit
        off.append(np.abs(moved - episode.action[:-2, :3]).max(1))
    assert max(values.max() for values in off) > 0.5
    assert all(np.linalg.norm(episode.action[:, :3], axis=1).max() <= 1.001 for episode in episodes), (
        "faster than the expert ever is"
    )


def test_the_command_makes_a_dataset_and_prints_the_next_command(tmp_path, capsys):
    RIG.save(tmp_path / "tiny.yaml")
    command = [
        "collect",
        "sim",
        "--to",
        "dataset",
        "--rig",
        str(tmp_path / "tiny.yaml"),
        "--tasks",
        "close_drawer",
        "--episodes",
        "2",
    ]
    assert cli.main([*command, "--vary", "--workers", "1", "--out", str(tmp_path / "set")]) == 0
    out = capsys.readouterr().out
    assert (
        out.startswith(f"{tmp_path}/set: 2 episodes, ")
        and f"next: gr1 finetune RECIPE data={tmp_path}/set" in out
    )
    written = json.loads((tmp_path / "set" / "meta" / "gr1.json").read_text())
    assert written["source"] == "simulation" and written["settings"] == {"vary": True}
    assert cli.main([*command, "--workers", "1", "--out", str(tmp_path / "set")]) == 1
    assert "is a complete dataset already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        (["--vary"], "--vary is for datasets"),
        (["--to", "dataset", "--images", "raw"], "--images raw is for bags"),
        (["--to", "dataset", "--seed", "-1"], "--seed -1: seeds are whole numbers from 0 up"),
        (["--to", "dataset", "--tasks", "open_draw"], "did you mean 'open_drawer'"),
        (
            ["--to", "dataset", "--seed", "100000"],
            "reach seed 100000: from 100000 on they are kept for tests; choose a lower --seed",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, capsys, words, message):
    assert cli.main(["collect", "sim", "--episodes", "1", *words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def checkpoint_folder(tmp_path_factory):
    """An untrained policy."""
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("checkpoint")
    checkpoint.save(made, GR1(CONFIG).state_dict(), CONFIG, RIG)
    return made


class Stubborn:
    """A policy that always goes to the left and up, with the hand closed."""

    def __init__(self):
        self.rig, self.seen = RIG, []

    def reset(self, instruction):
        self.instruction = instruction

    def step(self, observation):
        self.seen.append(observation)
        return SimpleNamespace(delta=np.array([-0.3, 0.2, 0.1, 0.0, 0.0, 0.0]), gripper=-1)


@pytest.mark.slow
def test_the_labels_are_the_experts_where_a_policy_drives():
    policy = Stubborn()
    with EpisodeGenerator(RIG, catalogue.STANDARD_OBJECTS) as generator:
        episode = generator.generate_episode(EpisodeSpec("close_drawer", 3000), True, policy, 1.0)
    assert episode.info["outcome"] == "success", "the expert brings it to its end"
    assert policy.instruction == episode.task and len(policy.seen) == 100 < len(episode.state), (
        "it drives for ten seconds"
    )
    assert images.encode_jpeg(policy.seen[50].static) == episode.images["static"][50], (
        "it sees what the dataset shows"
    )
    moved = np.diff(episode.state[:90, :3], axis=0)[1:].mean(0) / RIG.action.translation_scale
    assert moved[0] < 0.0 < 0.2 < episode.action[:90, 0].mean(), "the hand goes back, the labels say forwards"


@pytest.fixture(scope="module")
def single_frames():
    source = SimulationSource(
        RIG,
        [],
        vary=True,
        single_frames=plan_episodes("pick_broccoli,take_eggplant_from_plate,open_drawer", 6, 4000),
    )
    (unit,) = source.units()
    return source, unit, [item for item in source.read(unit) if not isinstance(item, Skipped)]


def test_a_single_frame_example_is_one_image_with_three_instructions_and_their_actions(single_frames):
    _, _, episodes = single_frames
    scenes = {}
    for episode in episodes:
        assert len(episode.state) == len(episode.action) == len(episode.images["static"]) == 1
        assert episode.task in TASKS[episode.info["task"]].instructions
        scenes.setdefault(episode.info["source"], []).append(episode)
    assert len(scenes) >= 5
    for name, examples in scenes.items():
        assert len(examples) == 3 and all(episode.images == examples[0].images for episode in examples)
        assert len({TASKS[episode.info["task"]].slot for episode in examples}) == 3, "each of another object"
        assert examples[0].info["task"] in name
        actions = np.array([episode.action[0, :6] for episode in examples])
        assert np.linalg.norm(actions[:, None] - actions[None], axis=-1)[np.triu_indices(3, 1)].max() > 0.1


def test_a_plate_that_is_taken_is_not_asked_for(single_frames):
    _, _, episodes = single_frames
    kinds = {TASKS[episode.info["task"]].kind for episode in episodes if "take" in episode.info["source"]}
    assert kinds == {"take", "pick"}


def test_single_frame_examples_are_reproducible(single_frames):
    source, unit, episodes = single_frames
    again = next(iter(source.read(unit)))
    assert (again.name, again.task, again.images) == (episodes[0].name, episodes[0].task, episodes[0].images)
    np.testing.assert_array_equal(again.action, episodes[0].action)


def test_single_frames_and_episodes_come_into_one_dataset_by_one_command(tmp_path):
    RIG.save(tmp_path / "tiny.yaml")
    words = [
        "--episodes",
        "1",
        "--single-frames",
        "2",
        "--tasks",
        "close_drawer",
        "--seed",
        "5000",
        "--rig",
        str(tmp_path / "tiny.yaml"),
    ]
    out = tmp_path / "out"
    assert (
        cli.main(["collect", "sim", "--to", "dataset", "--vary", *words, "--workers", "1", "--out", str(out)])
        == 0
    )
    sources = [json.loads(line) for line in (out / "meta" / "sources.jsonl").read_text().splitlines()]
    assert len(Dataset(out, tmp_path / "cache").episodes) == len(sources) > 3
    assert {source["seed"] for source in sources} == {5000, 5001, 5002}, "single frames have their own scenes"
    assert cli.main(["collect", "sim", "--to", "dataset", *words, "--out", str(out)]) == 2


@pytest.mark.slow
def test_a_checkpoint_and_the_expert_take_turns(tmp_path, checkpoint_folder):
    """In worker processes of their own, as for a user: there torch once was loaded after OpenGL, and the
    process died.
    """
    RIG.save(tmp_path / "tiny.yaml")
    words = [
        "--vary",
        "--policy",
        str(checkpoint_folder),
        "--tasks",
        "close_drawer",
        "--seed",
        "3000",
        "--rig",
        str(tmp_path / "tiny.yaml"),
    ]
    assert (
        cli.main(
            [
                "collect",
                "sim",
                "--to",
                "dataset",
                *words,
                "--episodes",
                "1",
                "--workers",
                "1",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    assert len(Dataset(tmp_path / "out", tmp_path / "cache").episodes) == 1


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["--policy", "CHECKPOINT"],
            "--policy drives only corrected or varied episodes: add --corrections or --vary",
        ),
        (["--policy", "CHECKPOINT", "--vary", "--mix", "0"], "--mix 0: the share of the time"),
        (["--policy", "CHECKPOINT", "--vary", "--rig", "kinova_gen2"], "does not fit rig 'kinova_gen2'"),
        (["--policy", "nowhere", "--vary"], "nowhere"),
    ],
)
def test_a_policy_that_cannot_drive_is_refused(tmp_path, capsys, checkpoint_folder, words, message):
    RIG.save(tmp_path / "tiny.yaml")
    words = [str(checkpoint_folder) if word == "CHECKPOINT" else word for word in words]
    command = [
        "collect",
        "sim",
        "--to",
        "dataset",
        "--episodes",
        "1",
        "--rig",
        str(tmp_path / "tiny.yaml"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert cli.main([*command, *words]) in (1, 2)
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_an_unknown_noun_means_the_nearest_unnamed_object():
    seed = next(
        seed
        for seed in range(100)
        if all(
            catalogue.training_objects(seed).noun(slot) == catalogue.UNKNOWN_NOUN for slot in catalogue.SLOTS
        )
    )
    (unit,) = SimulationSource(
        RIG, [], vary=True, single_frames=plan_episodes("pick_broccoli", 2, seed)
    ).units()
    twin, examples = Twin(catalogue.training_objects(seed)), 0
    for episode in SimulationSource(RIG, [], vary=True).read(unit):
        if isinstance(episode, Skipped):
            continue
        twin.reset("pick_broccoli", episode.info["seed"])
        hand, view = episode.state[0, :3], StateView(twin.state())
        nearest = min(catalogue.SLOTS, key=lambda slot: np.hypot(*(view.position(slot) - hand)[:2]))
        assert "?" in episode.task and TASKS[episode.info["task"]].slot == nearest
        examples += 1
    assert examples >= 2
