"""A robot made of topics, in the test's own process, that remembers the bytes of all that it has sent."""

import threading
from collections import defaultdict

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Float32, String

from gr1_common.loop import Loop
from gr1_common.messages import image_to_jpeg, to_stamp
from gr1_common.qos import COMMAND, LATCHED, SENSOR

CAMERA_HZ, ARM_HZ = 20, 50
RATES = (f"hz.camera_static:={CAMERA_HZ}.0", f"hz.camera_wrist:={CAMERA_HZ}.0", f"hz.arm:={ARM_HZ}.0")
STATIC, WRIST = "camera/static/image_raw/compressed", "camera/wrist/image_raw/compressed"
STREAMS = (STATIC, WRIST, "arm/pose", "arm/gripper", "command/policy/twist", "command/policy/gripper")
INSTRUCTION = "open the drawer"


class Robot:
    """Publishes cameras and arm from a thread from the beginning; `streams` says which of them are alive.
    sent: topic -> [CDR bytes].
    """

    def __init__(self):
        self.node = rclpy.create_node("robot")
        self.sent: dict[str, list[bytes]] = defaultdict(list)
        self.streams: set[str] = set()
        kinds = {
            STATIC: CompressedImage,
            WRIST: CompressedImage,
            "arm/pose": PoseStamped,
            "arm/gripper": JointState,
        }
        self._publishers = {
            topic: self.node.create_publisher(kind, topic, SENSOR) for topic, kind in kinds.items()
        }
        commands = {"command/policy/twist": TwistStamped, "command/policy/gripper": Float32}
        self._publishers |= {
            topic: self.node.create_publisher(kind, topic, COMMAND) for topic, kind in commands.items()
        }
        self._publishers["instruction"] = self.node.create_publisher(String, "instruction", LATCHED)
        self.image = image_to_jpeg(
            np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8), to_stamp(0), "camera"
        )
        self._count = 0
        self._lock = threading.RLock()
        self._loop = Loop(self._tick, 1.0 / (2 * ARM_HZ), lambda error: print(error))
        self._loop.start()

    def say(self, topic: str, message) -> None:
        with self._lock:
            data = bytes(serialize_message(message))
            self.sent[topic].append(data)
            self._publishers[topic].publish(data)

    def instruct(self, text: str) -> None:
        self.say("instruction", String(data=text))

    def whole(self) -> None:
        """All streams are alive, and the robot has its usual instruction."""
        self.streams = set(STREAMS)
        self.instruct(INSTRUCTION)

    def quiet(self) -> None:
        """Everything that was sent by now is all there is until it is whole again."""
        with self._lock:
            self.streams = set()

    def close(self) -> None:
        self._loop.end()
        self.node.destroy_node()

    def _tick(self, _: float) -> None:
        with self._lock:
            self._count += 1
            self._publish(self.node.get_clock().now().to_msg())

    def _publish(self, stamp) -> None:
        due = {STATIC: 100 // CAMERA_HZ, WRIST: 100 // CAMERA_HZ, "arm/pose": 2, "arm/gripper": 2}
        due |= {"command/policy/twist": 10, "command/policy/gripper": 10}
        for topic in self.streams & {topic for topic, every in due.items() if self._count % every == 0}:
            self.say(topic, self._message(topic, stamp))

    def _message(self, topic: str, stamp):
        if topic in (STATIC, WRIST):
            self.image.header.stamp = stamp
            return self.image
        if topic == "command/policy/gripper":
            return Float32(data=float(self._count))
        message = {"arm/pose": PoseStamped, "arm/gripper": JointState, "command/policy/twist": TwistStamped}[
            topic
        ]()
        message.header.stamp, message.header.frame_id = stamp, str(self._count)
        return message
