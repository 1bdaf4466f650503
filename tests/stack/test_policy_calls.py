"""The prediction monitor's calls over real topics: a person confirms, takes over, or does not answer."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common import qos
from gr1_core import images
from gr1_policy import calibration
from gr1_policy.prediction_monitor import SMALLEST_BASELINE
from tests.support.waiting import eventually

from .fake import QuickPolicy
from .test_policy_node import acting, moving, speed


def disturbed(rig, policy_node, tmp_path, wanted, **parameters):
    """A calibrated policy whose wrist camera is covered now and then, until `wanted()`."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    calibration.save(tmp_path, {"static": SMALLEST_BASELINE, "wrist": SMALLEST_BASELINE}, 1.5, {})
    still = {name: np.full((*size, 3), 120, np.uint8) for name, size in rig.size.items()}
    rig.images = dict(still)
    slack = {"max_gap_periods": 20.0, "max_action_age_periods": 50.0}
    policy = QuickPolicy()
    acting(rig, policy_node, load=lambda *_: policy, checkpoint=str(tmp_path), **slack, **parameters)
    eventually(
        lambda: (s := rig.status("policy: prediction")) and int(s[2].get("compared", 0)) > 5,
        "steps that were compared",
    )
    assert not rig.stops
    covered = still["wrist"].copy()
    covered[:, 80:] = 0
    # Again and again: on a busy computer a step may be lost just when it is covered.
    for _ in range(10):
        rig.images["wrist"] = covered if rig.images["wrist"] is still["wrist"] else still["wrist"]
        until = time.monotonic() + 1.5
        while not wanted() and time.monotonic() < until:
            time.sleep(0.01)
    return policy


@pytest.fixture
def calls(rig):
    """The messages of policy/call, as documents; `images`: of policy/call/image."""
    rig.offer_slow_policy()
    heard, shown = [], []
    rig.node.create_subscription(String, "policy/call", lambda m: heard.append(json.loads(m.data)), 10)
    rig.node.create_subscription(CompressedImage, "policy/call/image", shown.append, qos.LATCHED)
    return SimpleNamespace(heard=heard, images=shown, states=lambda: [each["state"] for each in heard])


def test_an_image_that_nobody_could_expect_calls_a_person_who_confirms(rig, policy_node, tmp_path, calls):
    # The checkpoint's own limit.
    disturbed(rig, policy_node, tmp_path, lambda: calls.heard, prediction_limit=-1.0, prediction_call_s=60.0)
    call = calls.heard[0]
    assert (call["state"], call["camera"], call["limit"], call["timeout_s"]) == ("calling", "wrist", 1.5, 60)
    assert call["score"] > 1.5 and call["reason"].startswith("wrist camera: the image differs")
    eventually(lambda: rig.slowed and rig.slowed[-1] is True, "a slowed gate")
    level, message, _ = eventually(
        lambda: (s := rig.status("policy: prediction")) and s[0] == 1 and s, "a WARN on /diagnostics"
    )
    assert message == f"calls the operator: {call['reason']}"
    evidence = images.decode(bytes(eventually(lambda: calls.images, "an image")[0].data))
    assert evidence.shape[1] > 1.5 * evidence.shape[0]  # predicted beside real
    moving(rig)
    eventually(lambda: len(calls.heard) > 1, "the call again, for those who come late")
    confirm = rig.node.create_client(Trigger, "policy/confirm")
    assert confirm.wait_for_service(5.0)
    answer = confirm.call_async(Trigger.Request())
    assert eventually(lambda: answer.done() and answer.result(), "an answer").success
    eventually(lambda: "confirmed" in calls.states(), "the end of the call")
    eventually(lambda: rig.slowed[-1] is False, "full speed")
    assert not rig.stops
    answer = confirm.call_async(Trigger.Request())
    assert not eventually(lambda: answer.done() and answer.result(), "an answer").success


def test_a_person_who_takes_over_has_answered_the_call(rig, policy_node, tmp_path, calls):
    disturbed(rig, policy_node, tmp_path, lambda: calls.heard, prediction_limit=1.5, prediction_call_s=60.0)
    rig.drive()
    eventually(lambda: calls.states()[-1] == "taken_over", "the end of the call")
    assert calls.heard[-1]["reason"] == calls.heard[0]["reason"]
    eventually(lambda: rig.slowed[-1] is False, "full speed")
    assert not rig.stops


def test_a_call_that_nobody_answers_stops_the_arm(rig, policy_node, tmp_path, calls):
    disturbed(rig, policy_node, tmp_path, lambda: rig.stops, prediction_limit=1.5, prediction_call_s=1.2)
    assert rig.stops and calls.states()[-1] == "latched"
    level, message, _ = eventually(
        lambda: (s := rig.status("policy: prediction")) and s[0] == 2 and s, "an ERROR on /diagnostics"
    )
    assert message.endswith("nobody answered within 1.2 s")


def test_without_a_gate_that_slows_it_an_image_that_nobody_could_expect_stops_the_arm(
    rig, policy_node, tmp_path
):
    policy = disturbed(rig, policy_node, tmp_path, lambda: rig.stops, prediction_limit=1.5)
    assert rig.stops, "arm/stop was not called"
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "a zero twist")
    level, message, _ = eventually(
        lambda: (s := rig.status("policy: prediction")) and s[0] == 2 and s, "an ERROR on /diagnostics"
    )
    assert message.startswith("wrist camera: the image differs from the prediction")
    eventually(
        lambda: (s := rig.status("policy: step")) and s[0] == 2 and "halted" in s[1] and "arm/reset" in s[1],
        "what to do",
    )
    sent = len(rig.twists)
    time.sleep(0.5)
    assert len(rig.twists) == sent and len(rig.stops) == 1
    rig.instruct("open the drawer")
    moving(rig)
    assert policy.resets[-1] == "open the drawer" and len(rig.stops) == 1
