"""Collection on a cluster of two nodes gives the files of one machine, also when a node dies."""

from __future__ import annotations

import signal

import pytest

from gr1_core.cli import main
from gr1_core.cluster import Cluster
from gr1_core.rig import Rig
from gr1_core.sim.collection.bags import collect_bags, plan_episodes
from gr1_core.sim.hands.videos import collect_videos, plan_videos
from tests.data.synthetic import files

RIG = Rig.load("kinova_gen2_small")


@pytest.mark.slow
def test_videos_of_hands(nodes, tmp_path):
    specs = plan_videos(2, 5)
    list(collect_videos(specs, tmp_path / "here"))
    with Cluster(nodes.address) as cluster:
        assert [new for _, new in collect_videos(specs, tmp_path / "there", cluster=cluster)] == [True]
        assert [new for _, new in collect_videos(specs, tmp_path / "there", cluster=cluster)] == [False]
    assert files(tmp_path / "there") == files(tmp_path / "here")


@pytest.mark.slow
def test_bags_of_simulated_episodes_with_a_node_that_is_killed(nodes, tmp_path):
    specs = plan_episodes("open_drawer,close_drawer", 5, 7)
    expected = {spec: success for spec, success, _ in collect_bags(specs, tmp_path / "here", RIG)}
    found = {}
    with Cluster(nodes.address) as cluster:
        for spec, success, new in collect_bags(specs, tmp_path / "there", RIG, cluster=cluster):
            if not found:
                nodes.workers[0].send_signal(signal.SIGKILL)
            assert new
            found[spec] = success
    assert found == expected and files(tmp_path / "there") == files(tmp_path / "here")


@pytest.mark.slow
def test_a_dataset_of_varied_episodes(nodes, tmp_path):
    words = ["collect", "sim", "--to", "dataset", "--vary", "--episodes", "13", "--rig", "kinova_gen2_small"]
    assert main([*words, "--tasks", "open_drawer", "--out", str(tmp_path / "here"), "--workers", "1"]) == 0
    there = [*words, "--tasks", "open_drawer", "--out", str(tmp_path / "there"), "--cluster", nodes.address]
    assert main(there) == 0
    assert files(tmp_path / "there") == files(tmp_path / "here")
