"""A robot's streams without a robot, for `gr1 bench record`: numbered messages.

Publishes until SIGINT or SIGTERM, then prints how many messages went out on each topic, as JSON.
"""

from __future__ import annotations

import json
import signal
import sys
import threading

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from gr1_common.loop import Loop
from gr1_common.messages import image_to_jpeg, image_to_msg, to_stamp
from gr1_common.qos import LATCHED, SENSOR
from gr1_core.rig import ROLES
from gr1_recorder.streams import IMAGES

WIDTH, HEIGHT, CAMERA_HZ, STATE_HZ = 640, 480, 30, 100
STATES = {
    "arm/pose": PoseStamped,
    "arm/gripper": JointState,
    "arm/commanded_pose": PoseStamped,
    "arm/commanded_twist": TwistStamped,
    "joint_states": JointState,
}
_FRAMES = 8


class Publisher:
    """Both cameras at 30 Hz as `images` says ("jpeg" or "raw"), the arm's five topics at 100 Hz."""

    def __init__(self, node, images: str):
        self._node, self.counts = node, {}
        kinds = {
            f"camera/{role}/{IMAGES[images][0]}": CompressedImage if images == "jpeg" else Image
            for role in ROLES
        }
        self._frames = [_frame(images, number) for number in range(_FRAMES)]
        self._cameras = {topic: node.create_publisher(kind, topic, SENSOR) for topic, kind in kinds.items()}
        self._states = {topic: node.create_publisher(kind, topic, SENSOR) for topic, kind in STATES.items()}
        self._templates = {topic: kind() for topic, kind in STATES.items()}
        for topic in ("arm/gripper", "joint_states"):
            self._templates[topic].position = [0.0] * 7
        self._instruction = node.create_publisher(String, "instruction", LATCHED)
        self._instruction.publish(String(data="measure the recorder"))

    def cameras(self, _: float) -> None:
        for topic, publisher in self._cameras.items():
            self._send(topic, publisher, self._frames[self.counts.get(topic, 0) % _FRAMES])

    def states(self, _: float) -> None:
        for topic, publisher in self._states.items():
            self._send(topic, publisher, self._templates[topic])

    def _send(self, topic: str, publisher, message) -> None:
        number = self.counts.get(topic, 0)
        message.header.stamp, message.header.frame_id = self._node.get_clock().now().to_msg(), str(number)
        publisher.publish(message)
        self.counts[topic] = number + 1


def _frame(images: str, number: int):
    """An image with edges, shades and a camera's noise, so that its JPEG has a usual size."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    shades = np.stack([(x + 9 * number) / 4, y / 3, (x + y) / 6], -1)
    squares = 60.0 * (((x // 80 + y // 60) % 2)[..., None])
    image = np.clip(shades + squares + random.normal(0, 3, shades.shape), 0, 255).astype(np.uint8)
    return image_to_jpeg(image, to_stamp(0), "") if images == "jpeg" else image_to_msg(image, to_stamp(0), "")


def main() -> int:
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    ended, failures = threading.Event(), []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    publisher = Publisher(rclpy.create_node("bench_publisher"), sys.argv[1])

    def failed(error: Exception) -> None:
        failures.append(error)
        ended.set()

    beats = ((publisher.cameras, CAMERA_HZ), (publisher.states, STATE_HZ))
    loops = [Loop(step, 1.0 / hz, failed) for step, hz in beats]
    for loop in loops:
        loop.start()
    while not ended.wait(0.1):
        pass
    for loop in loops:
        loop.end()
    if failures:
        raise failures[0]
    print(json.dumps(publisher.counts), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
