"""Demonstrations of the scripted expert through the ROS graph: `gr1 up --record`, from command to bags."""

import os
import subprocess
import sys

import pytest

from gr1_core.data.bag import Bag, find_bags
from tests.support.ros_graph import NodeProcess


@pytest.mark.slow
def test_one_command_gives_a_bag_of_the_experts_episode(tmp_path):
    words = ["--record", "driver:=expert", "--episodes", "1", "--task", "open_drawer", "--no-video"]
    words += ["--bags", str(tmp_path / "bags"), "--out", str(tmp_path / "run")]
    ended = subprocess.run(
        [sys.executable, "-m", "gr1_core", "up", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"MUJOCO_GL": "egl"},
    )
    assert ended.returncode == 0, ended.stdout
    (folder,) = find_bags(tmp_path / "bags")
    bag = Bag(folder)
    assert (bag.outcome, bag.labels["operator"], bag.labels["task"], bag.labels["seed"]) == (
        "success",
        "expert",
        "open_drawer",
        "1000",
    )
    assert bag.instruction and all(
        bag.counts[f"/camera/{role}/image_raw/compressed"] for role in ("static", "wrist")
    )
    assert bag.counts["/command/policy/twist"] > 10 and bag.counts["/sim/task"] == 1
    assert "1 bag in" in ended.stdout and "1 success" in ended.stdout
    assert f"next: gr1 convert bags {tmp_path / 'bags'}" in ended.stdout and "messages lost" in ended.stdout


@pytest.fixture
def simulated(launch):
    """The simulated arm and a recorder without cameras."""
    arm = NodeProcess("gr1_robot.arm.node", "robot:=sim")
    launch("patience_s:=0.5")
    yield
    arm.end()


def test_an_episode_that_the_recorder_refuses_ends_the_run_with_its_reason(robot, simulated):
    robot.quiet()
    expert = NodeProcess("gr1_policy.expert_node", "tasks:=open_drawer", "record:=true")
    try:
        code, said = expert.wait(60)
    finally:
        expert.end()
    assert (
        code == 1
        and "recorder/start was refused: not arriving: camera/static/image_raw/compressed" in said
        and "Traceback" not in said
    )
