"""The evaluator of `gr1 up --evaluate`: order of its calls, outcomes, interruption."""

import json
import threading

import numpy as np
import pytest
from sensor_msgs.msg import TimeReference

from gr1_common import messages, qos
from gr1_common.stack_monitor import StackMonitor
from gr1_core import Rig
from gr1_evaluation import evaluation
from gr1_evaluation.evaluator import Evaluator
from tests.support.waiting import eventually

from .fake_table import FakeTable

RIG = Rig.load("kinova_gen2_small")


@pytest.fixture
def evaluate():
    """evaluate(what, trials, slow=...) -> (stack, evaluator, said), running."""
    opened = []

    def make(what, trials, **stack):
        table = FakeTable(**stack)
        opened.append(table)
        monitor, said = StackMonitor("gr1_up"), []
        evaluator = Evaluator(monitor, evaluation.parse(what, trials, 2_000_000), RIG, said.append)
        opened[:0] = [evaluator, monitor]
        monitor.start()
        evaluator.start()
        return table, evaluator, said

    yield make
    for one in opened:
        one.close()


def test_each_trial_begins_with_an_inactive_policy_a_new_table_and_its_instruction(evaluate):
    table, evaluator, said = evaluate("open_drawer", 2)
    eventually(lambda: evaluator.over, "the end of two trials")
    once = ["hold", ("open_drawer", 2_000_000), "the words of open_drawer", "go"]
    assert table.events == [*once, once[0], ("open_drawer", 2_000_001), *once[2:]]
    assert evaluator.evaluation.tally() == {"open_drawer": (2, 2)}
    assert len(said) == 2 and "success after" in said[0] and "seed 2000001" in said[1]
    assert evaluator.failure == "" and np.allclose(evaluator.latencies, 0.04, atol=1e-6)


def test_a_policy_that_does_nothing_fails_after_twenty_seconds(evaluate):
    _, evaluator, said = evaluate("open_drawer", 1, slow={"the words of open_drawer"})
    eventually(lambda: evaluator.over, "the end of the trial")
    (result,) = evaluator.evaluation.results
    assert (
        not result.success
        and result.seconds == pytest.approx(evaluation.SECONDS, abs=0.3)
        and "FAILED" in said[0]
    )


def test_a_typed_instruction_takes_over_at_once_and_the_trial_before_does_not_count(evaluate):
    table, evaluator, _ = evaluate("close_drawer", None, slow={"the words of close_drawer", "make coffee"})
    eventually(lambda: evaluator.current(), "a trial")
    evaluator.request("make coffee")
    eventually(lambda: (now := evaluator.current()) and now[1] == "make coffee", "the instruction")
    assert evaluator.current()[0].task == ""
    evaluator.request("Open the drawer")
    eventually(lambda: evaluator.evaluation.results, "a result")
    assert {result.trial.task for result in evaluator.evaluation.results} == {"open_drawer"}
    assert "make coffee" in table.events and "Open the drawer" in table.events
    assert json.loads(evaluator.evaluation.document([], 0.0))["skipped"] == 1, "the coffee was no trial"


def test_a_refused_table_ends_the_evaluation_and_says_why(evaluate):
    _, evaluator, _ = evaluate("open_drawer", 1, painted=True)
    eventually(lambda: evaluator.failure, "the refusal")
    assert (
        evaluator.failure.startswith("the arm node refused open_drawer, seed 2000000")
        and "being painted" in evaluator.failure
    )
    assert not evaluator.over


def test_the_end_of_a_run_does_not_wait_for_the_trial(evaluate):
    _, evaluator, _ = evaluate("open_drawer", 1, slow={"the words of open_drawer"})
    eventually(lambda: evaluator.current(), "a trial")
    closing = threading.Thread(target=evaluator.close)
    closing.start()
    closing.join(5.0)
    assert not closing.is_alive() and evaluator.evaluation.results == []


def test_each_step_tells_when_its_frames_were_taken_and_when_its_command_was_ready(policy_node, rig):
    steps = []
    rig.node.create_subscription(TimeReference, "policy/step", steps.append, qos.SENSOR)
    policy_node(instruction="open the drawer", autostart=True)
    eventually(lambda: len(steps) >= 3, "three steps")
    taken, sent = (
        [messages.seconds(stamp) for stamp in column]
        for column in zip(*((one.time_ref, one.header.stamp) for one in steps))
    )
    assert np.all(np.diff(taken) > 0) and np.all(np.array(sent) > taken)
    eventually(lambda: len(rig.twists) >= len(taken), "their commands")
    commands = [messages.seconds(message.header.stamp) for _, message in rig.twists]
    assert all(min(abs(command - one) for command in commands) < 0.05 for one in sent)
