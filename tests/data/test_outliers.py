"""Outliers: planted faults are named with their numbers, and even demonstrations give no alarm."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gr1_core.cli import main
from gr1_core.data import bag_figures
from gr1_core.data.bag import Bag, relabel_bag
from gr1_core.data.bag_figures import FigureCache
from gr1_core.data.convert.conversion import convert
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.marks import trim_bag
from gr1_core.data.outliers import episode_figures, near_duplicates, rank_outliers
from tests.data import planted
from tests.data.bag_fixture import demonstration
from tests.data.synthetic import tiny_rig


def motion(seed, steps=60, idle_start=0, idle_end=0, end=(0.5, 0.1, 0.3), noise=0.0):
    """state, action of a reach with a smooth speed profile, and a gripper that closes once."""
    rng, rig = np.random.default_rng(seed), tiny_rig()
    steps = steps + int(rng.integers(-4, 5))
    start = np.array([0.4, 0.0, 0.2]) + rng.normal(size=3) * 0.02
    goal = np.array(end) + rng.normal(size=3) * 0.01
    s = np.linspace(0, 1, steps)
    profile = 10 * s**3 - 15 * s**4 + 6 * s**5
    path = start + profile[:, None] * (goal - start) + rng.normal(size=(steps, 3)) * 2e-4
    path = np.concatenate([path[:1].repeat(idle_start, 0), path, path[-1:].repeat(idle_end, 0)])
    state, action = np.zeros((len(path), 7)), np.zeros((len(path), 7))
    state[:, :3], state[:, 6], action[:, 6] = path, 1.0, 1.0
    action[:-1, :3] = np.diff(path, axis=0) / rig.action.translation_scale
    action[:, :3] += rng.normal(size=(len(path), 3)) * noise
    closed = idle_start + int(0.7 * steps)
    state[closed:, 6] = action[closed:, 6] = -1.0
    return state, action


def figures(name, state, action, task="reach", **more):
    return episode_figures(name, task, state, action, tiny_rig(), **more)


def test_ten_faults_among_sixty_are_the_first_fifteen():
    """Idle beginning and end, wrong end, flicker, jerk, saturation, lost frames, repeats, slow, a copy."""
    plain = [motion(seed) for seed in range(60)]
    faults = {
        3: figures("idle start", *motion(3, idle_start=25)),
        8: figures("idle end", *motion(8, idle_end=30)),
        13: figures("wrong end", *motion(13, end=(0.45, -0.15, 0.25))),
        22: figures("jerk", *motion(22, noise=0.4)),
        31: figures("lost", *plain[31], lost=0.3),
        36: figures("repeated", *plain[36], repeated=0.5),
        40: figures("slow", *motion(40, steps=120)),
        59: figures("copy", *plain[11]),
    }
    flicker = plain[27][1].copy()
    flicker[20:32:2, 6] *= -1
    faults[27] = figures("flicker", plain[27][0], flicker)
    limit = tiny_rig()
    fast = plain[45][1].copy()
    fast[10:40, 0] = 1.1 * limit.limits.linear_speed * limit.period / limit.action.translation_scale
    faults[45] = figures("fast", plain[45][0], fast)
    every = [faults.get(index) or figures(f"e{index}", *plain[index]) for index in range(60)]
    ranked = rank_outliers(every)
    assert {outlier.index for outlier in ranked[:15]} >= set(faults)
    assert len(ranked) <= 15
    said = {outlier.name: "; ".join(outlier.reasons) for outlier in ranked}
    assert "idle for" in said["idle start"] and "at the beginning" in said["idle start"]
    assert "nearly the same as e11" in said["copy"] and "gripper flickers" in said["flicker"]
    assert "30 % of the frames missing" in said["lost"] and "speed limit" in said["fast"]


def test_uniform_demonstrations_give_no_alarm():
    every = [figures(f"e{seed}", *motion(seed)) for seed in range(40)]
    assert len(rank_outliers(every)) <= 1


def test_tasks_are_compared_with_themselves():
    """A long task is no outlier among short ones once it has enough episodes of its own."""
    short = [figures(f"s{seed}", *motion(seed)) for seed in range(20)]
    long = [figures(f"l{seed}", *motion(seed + 50, steps=150), task="long") for seed in range(6)]
    assert not [outlier for outlier in rank_outliers(short + long) if outlier.name.startswith("l")]


def test_few_episodes_are_not_judged():
    assert rank_outliers([figures("a", *motion(1)), figures("b", *motion(2, steps=200))]) == []


def test_other_first_frames_are_no_duplicates():
    state, action = motion(1)
    one, other = (figures(name, state, action, grey=[level] * 64) for name, level in (("a", 20), ("b", 90)))
    assert near_duplicates([one, other]) == [] and near_duplicates([one, one]) == [[0, 1]]


# Bags


@pytest.fixture
def six(tmp_path):
    """Six copies of one short recording with slight differences, in tmp_path/bags."""
    for index in range(6):
        made = demonstration(7, 30)
        made.save(tmp_path / f"bags/b{index}")
    return tmp_path / "bags"


def test_the_command_ranks_names_and_counts(six, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    planted.plant(six / "b0", six / "b9", planted.idle_start(3.0))
    relabel_bag(six / "b5", outcome="failure")
    assert main(["bags", "outliers", str(six), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["name"] == "b9" and "at the beginning" in " ".join(rows[0]["reasons"])
    assert "b5" not in {row["name"] for row in rows}
    assert "nearly the same as b0" in " ".join(rows[-1]["reasons"])
    assert main(["bags", "outliers", str(six), "--most", "1"]) == 0
    assert "of 6 bags differ" in capsys.readouterr().out


def test_a_trimmed_idle_beginning_is_no_outlier_any_more(six, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    idle = planted.plant(six / "b0", six / "b9", planted.idle_start(3.0))
    cache = FigureCache(six)
    assert cache.read(idle).idle_start_s > 2.5
    trim_bag(idle, start_s=3.0)
    assert cache.read(idle).idle_start_s < 0.5


def test_figures_are_read_once_and_again_after_a_change(six, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache, folders = FigureCache(six), sorted(six.iterdir())
    known = [cache.read(folder) for folder in folders]
    cache.save(folders)
    read = []
    monkeypatch.setattr(bag_figures, "bag_figures", lambda bag: read.append(bag.name) or known[0])
    again = FigureCache(six)
    assert [again.read(folder) for folder in folders] == known and read == []
    relabel_bag(folders[2], note="look at it")
    again.read(folders[2])
    assert read == ["b2"]


def test_what_conversion_refuses_comes_first(six):
    made = demonstration(7, 30, without="static")
    made.save(six / "blind")
    ranked = rank_outliers([bag_figures.bag_figures(Bag(folder)) for folder in sorted(six.iterdir())])
    assert ranked[0].name == "blind" and "no frame of camera 'static'" in ranked[0].reasons[0]


def test_the_conversions_report_names_outliers_and_trims(six, tmp_path):
    planted.plant(six / "b0", six / "b9", planted.idle_end(3.0))
    trim_bag(six / "b3", end_s=2.0)
    summary = convert(BagSource(six), tmp_path / "set", workers=1, progress=False)
    page = summary.report.read_text()
    assert "<h2>Outliers</h2>" in page and "idle for" in page
    assert "trimmed to 0.00 s .. 2.00 s" in page
