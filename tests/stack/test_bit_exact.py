"""Live topic = bag = dataset = model input, bit for bit, for 100 control steps, raw and JPEG."""

import dataclasses
import threading

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float32, String

from gr1_common import messages, qos
from gr1_core import GR1Config, Observation, Policy, Rig
from gr1_core.data.bag import Bag
from gr1_core.data.convert.conversion import convert
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.dataset import Dataset
from gr1_core.data.loader import Loader
from gr1_core.data.steps import Step, read_steps
from gr1_core.data.windows import Windows
from gr1_policy.inputs import STREAMS, Inputs
from gr1_recorder import Recorder
from tests.support.ros_graph import NodeProcess, SpinningNodes
from tests.support.waiting import eventually

STEPS, HZ = 100, 20
CONFIG = dataclasses.replace(GR1Config.demo(), layers=1, vision_layers=1, image_size=32, text_layers=1)
DEEP = QoSProfile(depth=2000, reliability=ReliabilityPolicy.BEST_EFFORT)
KINDS = {"raw": (Image, "image_raw"), "jpeg": (CompressedImage, "image_raw/compressed")}


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """A rig at 20 Hz with small cameras: (Rig, file)."""
    raw = Rig.load("kinova_gen2").to_dict() | {"control_hz": float(HZ)}
    raw["cameras"]["static"] |= {"width": 64, "height": 36}
    raw["cameras"]["wrist"] |= {"width": 48, "height": 40}
    rig, path = Rig.from_dict(raw), tmp_path_factory.mktemp("rig") / "small.yaml"
    rig.save(path)
    return rig, path


class Live:
    """A robot in motion before noisy cameras, and a listener that keeps every message with the time at which
    it was sent.
    """

    def __init__(self, rig: Rig, codec: str):
        self.rig, self.codec, self.count = rig, codec, 0
        self.images: dict[str, dict[int, np.ndarray]] = {"static": {}, "wrist": {}}
        self.told: list[tuple[int, str, float, object]] = []
        """Sent at, stream, stamp in s, value as the policy node keeps it: of arm and gripper."""
        self.commands = 0
        self._rng, self._lock = np.random.default_rng(7), threading.Lock()
        self._talk, self._hear = SpinningNodes(), SpinningNodes()
        mouth = rclpy.create_node("live", context=self._talk.context)
        ear = rclpy.create_node("listener", context=self._hear.context)
        kind, name = KINDS[codec]
        self._cameras = {
            role: mouth.create_publisher(kind, f"camera/{role}/{name}", qos.SENSOR) for role in self.images
        }
        for role in self.images:
            ear.create_subscription(
                kind, f"camera/{role}/{name}", lambda message, role=role: self._image(role, message), DEEP
            )
        self._pose = mouth.create_publisher(PoseStamped, "arm/pose", qos.SENSOR)
        self._gripper = mouth.create_publisher(JointState, "arm/gripper", qos.SENSOR)
        ear.create_subscription(PoseStamped, "arm/pose", self._posed, DEEP)
        ear.create_subscription(JointState, "arm/gripper", self._closure, DEEP)
        self._twist = mouth.create_publisher(TwistStamped, "command/policy/twist", qos.COMMAND)
        self._grip = mouth.create_publisher(Float32, "command/policy/gripper", qos.COMMAND)
        self._say = mouth.create_publisher(String, "instruction", qos.LATCHED)
        self._say.publish(String(data="open the drawer"))
        mouth.create_timer(0.01, self._tick)
        self._node = mouth
        self._talk.start(mouth)
        self._hear.start(ear)

    def close(self) -> None:
        self._talk.close()
        self._hear.close()

    def _tick(self) -> None:
        self.count += 1
        stamp, angle = self._node.get_clock().now().to_msg(), 0.01 * self.count
        position = (0.4 + 0.05 * np.sin(angle), 0.1 * np.cos(1.3 * angle), 0.2)
        quaternion = np.array([1.0, 0.1 * np.sin(angle), 0.05 * np.cos(angle), 0.02])
        pose = PoseStamped(pose=messages.to_pose(position, quaternion / np.linalg.norm(quaternion)))
        pose.header.stamp = stamp
        self._pose.publish(pose)
        closure = float(self.count // 150 % 2)
        gripper = JointState(name=["closure", "closure_command"], position=[closure, closure])
        gripper.header.stamp = stamp
        self._gripper.publish(gripper)
        if self.count % 3 == 0:
            for role, publisher in self._cameras.items():
                camera = self.rig.cameras[role]
                image = self._rng.integers(0, 256, (camera.height, camera.width, 3), np.uint8)
                make = messages.image_to_jpeg if self.codec == "jpeg" else messages.image_to_msg
                publisher.publish(make(image, stamp, f"camera_{role}_optical_frame"))
        if self.count % 5 == 0:
            twist = TwistStamped(
                twist=messages.to_twist((0.1 * np.cos(angle), 0.0, 0.02), (0.0, 0.0, 0.3 * np.sin(angle)))
            )
            twist.header.stamp = stamp
            self._twist.publish(twist)
            self._grip.publish(Float32(data=closure))
            self.commands += 1

    def _image(self, role: str, message) -> None:
        self.images[role][messages.nanoseconds(message.header.stamp)] = messages.msg_to_image(message).copy()

    def _posed(self, message: PoseStamped, info) -> None:
        self.told.append(
            (
                info["source_timestamp"],
                "arm",
                messages.seconds(message.header.stamp),
                messages.from_pose(message.pose),
            )
        )

    def _closure(self, message: JointState, info) -> None:
        self.told.append(
            (info["source_timestamp"], "gripper", messages.seconds(message.header.stamp), message.position[1])
        )

    def state_of(self, step: Step) -> np.ndarray:
        """What the policy node makes of the messages that had been sent by a step, with the images of that
        step.
        """
        inputs = Inputs(dict.fromkeys(STREAMS, 1.0), 0.075)
        for sent, stream, stamp, value in sorted(self.told, key=lambda item: item[0]):
            if sent <= step.time_ns:
                inputs.add_sample(stream, stamp, 0.0, value)
        for role in ("static", "wrist"):
            inputs.add_sample(
                role, 1e-9 * getattr(step, role).stamp, 0.0, self.images[role][getattr(step, role).stamp]
            )
        seen = inputs.step_input()
        return self.rig.state_vector(*seen["arm"].value, seen["gripper"].value)


@pytest.mark.parametrize("codec", KINDS)
def test_a_frame_is_the_same_on_the_topic_in_the_bag_in_the_data_set_and_before_the_model(
    codec, rig, tmp_path
):
    rig, file = rig
    live = Live(rig, codec)
    rates = ("patience_s:=30.0", "hz.camera_static:=33.0", "hz.camera_wrist:=33.0", "hz.arm:=100.0")
    recording = NodeProcess(
        "gr1_recorder.recorder_node", f"root:={tmp_path / 'bags'}", f"rig:={file}", f"images:={codec}", *rates
    )
    try:
        recording.until("ready")
        with Recorder() as recorder:
            name, before = recorder.start(), live.commands
            eventually(lambda: live.commands > before + STEPS + 4, "enough commands")
            recorder.success()
    finally:
        recording.end()
        live.close()

    bag = Bag(tmp_path / "bags" / name)
    recorded = list(read_steps(bag))
    convert(BagSource(tmp_path / "bags"), tmp_path / "set", workers=1, progress=False)
    data = Dataset(tmp_path / "set")
    assert len(recorded) == data.length >= STEPS

    with Loader(Windows(data, None, 1, 0), [np.arange(STEPS)]) as loader:
        batch = next(iter(loader))
    with_topic, with_data = (Policy.untrained(CONFIG, rig, device="cpu", precision="fp32") for _ in range(2))
    for policy in (with_topic, with_data):
        policy.reset(bag.instruction)
    for index, step in enumerate(recorded[:STEPS]):
        for role in ("static", "wrist"):
            from_topic = live.images[role][getattr(step, role).stamp]
            np.testing.assert_array_equal(getattr(step, role).image(), from_topic)
            np.testing.assert_array_equal(data.image(role, index), from_topic)
            np.testing.assert_array_equal(batch.images[role][index, 0], rig.cameras[role].view(from_topic))
        state = live.state_of(step)
        for other in (step.state, data.state[index], batch.state[index, 0]):
            assert other.dtype == np.float32 and other.tobytes() == state.tobytes()
        actions = [
            policy.step(Observation(static, wrist, vector[:6].astype(np.float64), float(vector[6])))
            for policy, static, wrist, vector in (
                (
                    with_topic,
                    live.images["static"][step.static.stamp],
                    live.images["wrist"][step.wrist.stamp],
                    state,
                ),
                (with_data, data.image("static", index), data.image("wrist", index), data.state[index]),
            )
        ]
        assert (
            actions[0].delta.tobytes() == actions[1].delta.tobytes()
            and actions[0].gripper_logit == actions[1].gripper_logit
        )
    assert len({step.static.stamp for step in recorded[:STEPS]}) > 0.9 * STEPS, (
        "the frames must differ for this to mean anything"
    )
