"""The stack client over real topics and services: a real policy node, a rig made of topics."""

import json
import time

import av
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common import qos
from gr1_core import images
from gr1_evaluation.rig import stack_client, trials
from gr1_evaluation.rig.judging import VerdictQueue
from gr1_evaluation.rig.records import Records
from gr1_evaluation.rig.stack_client import RigError, StackClient
from gr1_policy.policy_node import PolicyNode
from tests.stack.fake import FakeRig, QuickPolicy
from tests.support.ros_graph import SpinningNodes
from tests.support.waiting import eventually

from .stand_in import plan


class Lab(FakeRig):
    """Also the compressed static camera, arm/home with the gate's status, and the judge's topics."""

    def __init__(self):
        super().__init__()
        node, self.home_until, self.homed, self.jpegs = self.node, 0.0, 0, True
        self._compressed = node.create_publisher(
            CompressedImage, "camera/static/image_raw/compressed", qos.SENSOR
        )
        self._gate = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.verdict = node.create_publisher(String, "evaluation/verdict", 10)
        self.states, self.scenes = [], []
        node.create_subscription(
            String, "evaluation/state", lambda m: self.states.append(json.loads(m.data)), qos.LATCHED
        )
        node.create_subscription(
            CompressedImage,
            "evaluation/start_scene",
            lambda message: self.scenes.append(bytes(message.data)),
            qos.LATCHED,
        )
        node.create_service(Trigger, "arm/home", self._home)
        node.create_timer(0.1, self._report)

    def _home(self, _, response):
        self.homed, self.home_until = self.homed + 1, time.monotonic() + 0.5
        response.success = True
        return response

    def _report(self):
        if self.jpegs:
            image = np.full((48, 64, 3), 10 * (self._count % 20), np.uint8)
            self._compressed.publish(CompressedImage(format="jpeg", data=images.encode_jpeg(image)))
        source = "home" if time.monotonic() < self.home_until else ""
        values = {"state": "moving" if source else "holding", "source": source}
        status = DiagnosticStatus(
            name="arm: gate", values=[KeyValue(key=key, value=value) for key, value in values.items()]
        )
        self._gate.publish(DiagnosticArray(status=[status]))


@pytest.fixture
def lab():
    made = Lab()
    yield made
    made.close()


@pytest.fixture
def loaded():
    """The checkpoints that the policy node was told to load, in their order."""
    return []


@pytest.fixture
def client(lab, loaded):
    spin = SpinningNodes()

    def load(checkpoint, *_):
        loaded.append(checkpoint)
        if checkpoint.endswith("broken"):
            raise ValueError("no weights there")
        return QuickPolicy()

    overrides = {"max_action_age_periods": 50.0, "max_gap_periods": 50.0, "checkpoint": "first"}
    node = PolicyNode(
        load,
        context=spin.context,
        parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()],
    )
    node.start()
    spin.start(node)
    verdicts = VerdictQueue()
    made = StackClient("", lab.rig, verdicts, 5.0)
    made.verdicts = verdicts
    yield made
    made.close()
    spin.close(node.close)


def test_a_trial_loads_homes_arranges_runs_and_rests(lab, client, loaded, tmp_path):
    client.require()
    assert not client.simulated()
    client.load("/checkpoints/b")
    client.load("/checkpoints/b")  # again, so that nobody sees that it is the same
    assert loaded == ["first", "/checkpoints/b", "/checkpoints/b"]
    client.go_home()
    assert lab.homed == 1 and time.monotonic() > lab.home_until
    sent = len(lab.twists)
    assert client.arrange("open the drawer", 1, "open the drawer") == "open the drawer"
    client.start(tmp_path / "start.jpg", tmp_path / "trial.mp4")
    eventually(lambda: len(lab.twists) > sent + 3, "motion")
    client.show(trials.RUNNING, {"pair": 1}, None)
    wanted = {"phase": "running", "overlay": False, "pair": 1}
    eventually(lambda: lab.states and lab.states[-1] == wanted, "the state")
    lab.verdict.publish(String(data="failure:dropped"))
    verdict = client.verdicts.take(("failure",), 10.0)
    assert (verdict.kind, verdict.by) == ("dropped", "desk")
    client.stop()
    sent = len(lab.twists)
    assert images.decode((tmp_path / "start.jpg").read_bytes()).shape == (48, 64, 3)
    with av.open(str(tmp_path / "trial.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) > 2
    client.show(trials.ARRANGE, {"pair": 1}, tmp_path / "start.jpg")
    eventually(lambda: lab.scenes and lab.scenes[-1] == (tmp_path / "start.jpg").read_bytes(), "the overlay")
    assert len(lab.twists) == sent and client.calls() == ((), False)


def test_what_the_policy_cannot_load_is_an_error_with_its_reason(lab, client, loaded):
    with pytest.raises(RigError, match="the policy node refuses: cannot configure: no weights there"):
        client.load("/checkpoints/broken")


def test_without_a_stack_it_is_said_what_to_start(lab, monkeypatch):
    monkeypatch.setattr(stack_client, "_ANSWER_S", 1.0)
    client = StackClient("nowhere", lab.rig, VerdictQueue(), 5.0)
    try:
        with pytest.raises(RigError, match="no running stack with a policy was found: start one with gr1 up"):
            client.require()
    finally:
        client.close()


def test_the_whole_evaluation_over_topics_with_a_person_at_the_desk(lab, client, loaded, tmp_path):
    said, asked = [], plan(trials=1, tasks=("open the drawer",), seconds=30.0)
    records = Records(tmp_path, asked)
    answers = {"home": "start", "arrange": "start", "running": "success"}
    answered = set()

    def judge():
        state = lab.states[-1] if lab.states else {"phase": ""}
        key = state["phase"], state.get("trial")
        if state["phase"] in answers and key not in answered:
            answered.add(key)
            lab.verdict.publish(String(data=answers[state["phase"]]))

    lab.node.create_timer(0.05, judge)
    evaluation = trials.RigEvaluation(records, client, client.verdicts, said.append)
    assert evaluation.run() == ""
    assert [one.outcome for one in records.results] == ["success", "success"] and lab.homed == 3
    first = records.order.checkpoint(0, 0)
    assert loaded[1:] == [asked.checkpoints[first], asked.checkpoints[1 - first]]
    assert not any("checkpoints" in json.dumps(state) for state in lab.states)
