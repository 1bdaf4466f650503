"""The policy's call with the real gate and recorder: half speed, take-over, the reason in the bag."""

import json
import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Empty, String

from gr1_common import messages, qos
from gr1_core.data.bag import Bag
from gr1_core.data.episode_view import episode_view
from gr1_policy import calibration
from gr1_policy.policy_node import PolicyNode
from gr1_policy.prediction_monitor import SMALLEST_BASELINE
from gr1_recorder import Recorder
from tests.support.ros_graph import NodeProcess, PeriodicPublisher, SpinningNodes
from tests.support.waiting import eventually

from .fake import QuickPolicy

INSTRUCTION = "open the drawer"
CAMERA_HZ = 15.0
_PATIENCE_S = 60.0


class ToAndFro(QuickPolicy):
    """2 cm/s along y, the other way every three seconds: it stays in the workspace."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def step(self, observation):
        self.steps += 1
        action = super().step(observation)
        way = 1.0 if self.steps // 30 % 2 else -1.0
        action.delta[:] = [0, 0.1 * way, 0, 0, 0, 0]
        return action


class Cameras:
    """Both cameras as topics; `images` is what they show."""

    def __init__(self, rig):
        self._spin, self._count = SpinningNodes(), 0
        self.node = rclpy.create_node("cameras", context=self._spin.context)
        self.images = {
            name: np.full((camera.height, camera.width, 3), 120, np.uint8)
            for name, camera in rig.cameras.items()
        }
        self._publishers = {
            name: self.node.create_publisher(Image, f"camera/{name}/image_raw", qos.SENSOR)
            for name in self.images
        }
        self.node.create_timer(1.0 / CAMERA_HZ, self._publish)
        self._spin.start(self.node)

    def _publish(self):
        stamp = self.node.get_clock().now().to_msg()
        self._count += 1
        for name, publisher in self._publishers.items():
            image = self.images[name].copy()
            image[0, 0] = self._count % 256  # a real camera's noise: without it the camera counts as frozen
            publisher.publish(messages.image_to_msg(image, stamp, ""))

    def close(self):
        self._spin.close()


@pytest.fixture
def stack(ros, tmp_path):
    """Arm and recorder as processes, the policy node and the cameras here; yields the cameras."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    calibration.save(tmp_path, {"static": SMALLEST_BASELINE, "wrist": SMALLEST_BASELINE}, 1.5, {})
    policy = ToAndFro()
    cameras, spin = Cameras(policy.rig), SpinningNodes()
    rates = [f"hz.camera_{role}:={CAMERA_HZ}" for role in policy.rig.cameras]
    settings = ["images:=raw", f"instruction:={INSTRUCTION}", "patience_s:=30.0", *rates]
    processes = [
        NodeProcess("gr1_robot.arm.node", "robot:=sim"),
        NodeProcess("gr1_recorder.recorder_node", f"root:={tmp_path / 'bags'}", *settings),
    ]
    ros.subscribe("arm/commanded_twist", TwistStamped)
    ros.subscribe("policy/call", String, 10)
    ros.status("arm: gate", timeout=_PATIENCE_S)
    parameters = {
        "autostart": True,
        "instruction": INSTRUCTION,
        "checkpoint": str(tmp_path),
        "prediction_limit": -1.0,
        "prediction_call_s": _PATIENCE_S,
        "max_gap_periods": 20.0,
        "max_action_age_periods": 50.0,
        "blend_s": 0.0,
    }
    node = PolicyNode(
        lambda *_: policy,
        context=spin.context,
        parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
    )
    node.start()
    spin.start(node)
    yield cameras
    spin.close(node.close)
    cameras.close()
    for process in processes:
        process.end()


def fastest(ros, seconds):
    """The largest commanded speed from now on, m/s."""
    before = len(ros.messages("arm/commanded_twist"))
    time.sleep(seconds)
    found = ros.messages("arm/commanded_twist")[before:]
    return max(np.linalg.norm(messages.from_twist(message.twist)[0]) for message in found)


@pytest.mark.slow
def test_a_disturbance_slows_the_arm_and_the_take_over_stands_in_the_bag_with_its_reason(
    ros, stack, tmp_path
):
    full = eventually(lambda: (v := fastest(ros, 0.5)) > 0.015 and v, "motion", _PATIENCE_S)
    ros.status(
        "policy: prediction",
        lambda status: any(pair.key == "compared" and int(pair.value) > 5 for pair in status.values),
        timeout=_PATIENCE_S,
    )
    with Recorder(timeout=_PATIENCE_S) as recorder:
        name = recorder.start()
        clear, covered = stack.images["wrist"], stack.images["wrist"].copy()
        covered[:, covered.shape[1] // 3 :] = 0
        for _ in range(20):  # on a busy computer a step may be lost just when it is covered
            stack.images["wrist"] = covered if stack.images["wrist"] is clear else clear
            until = time.monotonic() + 1.5
            while not ros.messages("policy/call") and time.monotonic() < until:
                time.sleep(0.01)
        call = json.loads(ros.until("policy/call").data)
        assert call["state"] == "calling" and call["camera"] == "wrist"
        before = len(ros.messages("/diagnostics"))
        slow = {"reason": "prediction", "source": "policy"}
        ros.status(
            "arm: gate",
            lambda status: slow.items() <= {pair.key: pair.value for pair in status.values}.items(),
            after=before,
        )
        time.sleep(0.5)
        assert fastest(ros, 1.0) <= 0.55 * full

        def grip():
            message = TwistStamped(twist=messages.to_twist((0.0, 0.0, 0.01), (0.0,) * 3))
            message.header.stamp = ros.node.get_clock().now().to_msg()
            return message

        with PeriodicPublisher(ros.publisher("command/teleop/twist", TwistStamped), grip):
            ros.until("policy/call", lambda message: '"taken_over"' in message.data)
            ros.status("arm: gate", lambda status: any(p.value == "teleop" for p in status.values))
        ros.publisher("command/teleop/release", Empty).publish(Empty())
        eventually(lambda: fastest(ros, 0.5) > 0.9 * full, "full speed after the person")
        assert recorder.success() == name
    events = episode_view(Bag(tmp_path / "bags" / name))["events"]
    assert f"the policy called: {call['reason']}; taken over" in [event["text"] for event in events]
    assert "gate: prediction" in [event["text"] for event in events]
    assert "takeover" in [event["kind"] for event in events]
