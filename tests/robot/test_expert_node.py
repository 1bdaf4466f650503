"""The expert node over real ROS 2: it plays episodes through the policy's topics and the arm's gate."""

import json
import signal

import pytest
from geometry_msgs.msg import TwistStamped
from std_msgs.msg import Float32, String

from gr1_common.qos import COMMAND, LATCHED
from gr1_policy.episodes import HELD, Episode, Tally, plan
from tests.support.ros_graph import NodeProcess, stamp_ns


@pytest.mark.slow
def test_it_solves_an_episode_and_its_last_line_is_json(ros, arm):
    ros.subscribe("instruction", String, LATCHED)
    process = NodeProcess("gr1_policy.expert_node", "tasks:=pick_eggplant", "episodes:=1", "first_seed:=1000")
    try:
        assert "eggplant" in ros.until("instruction").data
        code, output = process.wait(60)
    finally:
        process.end()
    assert code == 0
    document = json.loads(output.splitlines()[-1])
    assert document == {
        "episodes": 1,
        "successes": 1,
        "tasks": {"pick_eggplant": {"episodes": 1, "successes": 1}},
    }


def test_it_sends_nothing_when_the_state_stops(ros, arm):
    ros.subscribe("command/policy/twist", TwistStamped, COMMAND)
    ros.subscribe("command/policy/gripper", Float32, COMMAND)
    process = NodeProcess("gr1_policy.expert_node", "tasks:=open_drawer")
    try:
        before = len(ros.messages("command/policy/twist"))
        ros.until("command/policy/twist", after=before + 5)
        ros.until("command/policy/gripper")
        arm.send(signal.SIGSTOP)
        seen = len(ros.messages("/diagnostics"))
        status, values = ros.status("expert: episodes", lambda s: "sim/state" in s.message, seen)
        quiet = len(ros.messages("command/policy/twist"))
        ros.status("expert: episodes", after=len(ros.messages("/diagnostics")))
        assert len(ros.messages("command/policy/twist")) == quiet
        arm.send(signal.SIGCONT)
        ros.until("command/policy/twist", lambda m: stamp_ns(m) > 0, after=quiet)
        process.send(signal.SIGTERM)
        assert process.wait()[0] == 0
    finally:
        arm.send(signal.SIGCONT)
        process.end()


def test_an_unknown_task_is_refused_by_name():
    code, output = NodeProcess("gr1_policy.expert_node", "tasks:=fly").wait()
    assert code == 1 and "fly" in output and "open_drawer" in output and "Traceback" not in output


def test_the_plan_plays_every_task_with_a_seed_before_the_next_seed():
    assert list(plan(["a", "b"], 5, 2, 6)) == [("a", 5), ("b", 5), ("a", 6), ("b", 6), ("a", 5), ("b", 5)]


def test_an_episode_succeeds_when_the_test_holds_for_five_control_steps_in_a_row():
    episode = Episode("a", 0, timeout=10.0)
    for step, success in enumerate([True] * (HELD - 1) + [False] + [True] * HELD):
        assert episode.outcome is None
        episode.step(0.1 * step, success)
    assert episode.outcome is True and episode.seconds == pytest.approx(0.9)


def test_an_episode_fails_at_its_timeout():
    episode = Episode("a", 0, timeout=1.0)
    episode.step(1.01, False)
    assert episode.outcome is False


def test_the_table_names_the_seeds_that_failed():
    tally = Tally()
    for seed, outcome in ((1, True), (2, False)):
        tally.add(Episode("a", seed, 10.0, outcome, 4.0))
    assert "1 / 2" in tally.table() and "failed seeds: 2" in tally.table()
    assert json.loads(tally.document())["successes"] == 1
