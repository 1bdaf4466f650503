"""The node that gives the policy one task after another on new tables."""

import json

import pytest
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common import qos
from gr1_core.sim import TASKS
from gr1_policy.task_sequence_node import TaskSequenceNode
from tests.support.ros_graph import SpinningNodes
from tests.support.waiting import eventually

from .fake_table import FakeTable

OPEN, CLOSE = (TASKS[name].instructions[0] for name in ("open_drawer", "close_drawer"))


@pytest.fixture
def run():
    """run(tasks, episodes, **of the table) -> (table, node), running."""
    opened = []

    def make(tasks, episodes, **table):
        fake = FakeTable(**table)
        spinning = SpinningNodes()
        given = {"tasks": tasks, "episodes": episodes, "first_seed": 1_000_000, "rig": "kinova_gen2_small"}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        node = TaskSequenceNode(context=spinning.context, parameter_overrides=overrides)
        spinning.start(node)
        opened.append((fake, spinning, node))
        return fake, node

    yield make
    for fake, spinning, node in opened:
        spinning.close(node.close)
        fake.close()


def test_each_task_has_a_new_table_its_own_instruction_and_an_outcome(run, capsys):
    table, node = run("open_drawer,close_drawer", 3, slow={CLOSE})
    eventually(node.finished.is_set, "the end of three episodes", 60)
    tables = [event for event in table.events if isinstance(event, tuple)]
    assert tables == [("open_drawer", 1_000_000), ("close_drawer", 1_000_000), ("open_drawer", 1_000_001)]
    once = ["hold", tables[0], OPEN, "go"]
    assert table.events[:4] == once, "the policy is inactive until the table and the instruction are new"
    assert json.loads(node.tally.document())["tasks"]["open_drawer"] == {"episodes": 2, "successes": 2}
    assert node.exit_code == 0


def test_an_instruction_of_another_node_ends_the_sequence_until_it_is_resumed(run):
    table, node = run("open_drawer", 0, slow={OPEN})
    eventually(lambda: "go" in table.events, "a first episode")
    publisher = table.policy.create_publisher(String, "instruction", qos.LATCHED)
    eventually(
        lambda: publisher.publish(String(data="make coffee")) or "make coffee" in table.events, "the words"
    )
    tables = len([event for event in table.events if isinstance(event, tuple)])
    resume = table.policy.create_client(Trigger, "task_sequence/resume")
    eventually(resume.service_is_ready, "the service")
    assert len([event for event in table.events if isinstance(event, tuple)]) == tables
    assert node.tally.finished == [], "an interrupted episode has no outcome"
    resume.call_async(Trigger.Request())
    eventually(
        lambda: len([event for event in table.events if isinstance(event, tuple)]) > tables, "the next table"
    )


def test_a_table_that_is_refused_ends_the_node_with_exit_code_1(run):
    _, node = run("open_drawer", 1, painted=True)
    eventually(node.finished.is_set, "the refusal")
    assert node.exit_code == 1
