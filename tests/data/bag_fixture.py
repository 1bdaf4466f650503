"""Small bags in the layout that the recorder writes, with every message under control of the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from gr1_core import images
from gr1_core.data import schemas
from gr1_core.data.bag_writer import BagWriter
from gr1_core.rig import Rig
from tests.data.synthetic import SHAPES, make_image, tiny_rig

START = 1_700_000_000_000_000_000
MS = 1_000_000
TYPES = {
    "/camera/static/image_raw": "sensor_msgs/msg/Image",
    "/camera/wrist/image_raw": "sensor_msgs/msg/Image",
    "/camera/static/image_raw/compressed": "sensor_msgs/msg/CompressedImage",
    "/camera/wrist/image_raw/compressed": "sensor_msgs/msg/CompressedImage",
    "/arm/pose": "geometry_msgs/msg/PoseStamped",
    "/arm/gripper": "sensor_msgs/msg/JointState",
    "/command/policy/twist": "geometry_msgs/msg/TwistStamped",
    "/command/policy/gripper": "std_msgs/msg/Float32",
    "/command/teleop/twist": "geometry_msgs/msg/TwistStamped",
    "/command/teleop/gripper": "std_msgs/msg/Float32",
    "/arm/commanded_pose": "geometry_msgs/msg/PoseStamped",
    "/arm/commanded_twist": "geometry_msgs/msg/TwistStamped",
    "/joint_states": "sensor_msgs/msg/JointState",
    "/robot_description": "std_msgs/msg/String",
    "/instruction": "std_msgs/msg/String",
    "/policy/predicted/static": "sensor_msgs/msg/Image",
    "/policy/call": "std_msgs/msg/String",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}


@dataclass
class Recording:
    """Messages of one episode; times in ms since its start. `save` writes the bag.

    received: number of a message -> ms after it was sent (1 for all others).
    """

    messages: list[tuple[float, str, object]] = field(default_factory=list)
    received: dict[int, float] = field(default_factory=dict)
    namespace: str = ""

    def add(self, at_ms: float, topic: str, **fields) -> None:
        type = TYPES[topic]
        if schemas.has_header(type):
            fields = {"header": header(at_ms)} | fields
        self.messages.append((at_ms, topic, schemas.make_message(type, **fields)))

    def twist(
        self, at_ms: float, linear=(0.0, 0.0, 0.0), angular=(0.0, 0.0, 0.0), source: str = "policy"
    ) -> None:
        twist = {
            "linear": dict(zip("xyz", map(float, linear))),
            "angular": dict(zip("xyz", map(float, angular))),
        }
        self.add(at_ms, f"/command/{source}/twist", twist=twist)

    def grip(self, at_ms: float, closure: float, source: str = "policy") -> None:
        self.add(at_ms, f"/command/{source}/gripper", data=float(closure))

    def arm(
        self, at_ms: float, position=(0.4, 0.0, 0.2), quaternion=(1.0, 0.0, 0.0, 0.0), closure: float = 0.0
    ) -> None:
        pose = {
            "position": dict(zip("xyz", map(float, position))),
            "orientation": dict(zip("xyzw", map(float, quaternion))),
        }
        self.add(at_ms, "/arm/pose", pose=pose)
        self.add(
            at_ms,
            "/arm/gripper",
            name=("closure", "closure_command"),
            position=(float(closure), float(closure)),
        )

    def frame(self, at_ms: float, role: str, array: np.ndarray, kind: str) -> None:
        if kind == "jpeg":
            return self.add(
                at_ms,
                f"/camera/{role}/image_raw/compressed",
                format="jpeg",
                data=images.encode_jpeg(array, 85),
            )
        height, width = array.shape[:2]
        data = array.tobytes()
        self.add(
            at_ms,
            f"/camera/{role}/image_raw",
            height=height,
            width=width,
            encoding="rgb8",
            step=3 * width,
            data=data,
        )

    def save(self, folder: Path, rig: Rig | None = None, **labels: str) -> Path:
        known = {
            "instruction": "lift the cup",
            "operator": "alice",
            "rig": yaml.safe_dump((rig or tiny_rig()).to_dict()),
        }
        labels = known | {"outcome": "success"} | labels
        topics = {self.namespace + topic: TYPES[topic] for _, topic, _ in self.messages}
        arrivals = sorted(
            (at_ms + self.received.get(number, 1.0), number)
            for number, (at_ms, _, _) in enumerate(self.messages)
        )
        with BagWriter(
            folder, topics, {name: text for name, text in labels.items() if name != "outcome"}
        ) as writer:
            for arrival, number in arrivals:
                at_ms, topic, message = self.messages[number]
                data = schemas.serialize(message, TYPES[topic])
                writer.write_message(
                    self.namespace + topic, data, START + round(arrival * MS), START + round(at_ms * MS)
                )
            return writer.close({"outcome": labels["outcome"]})


def header(at_ms: float) -> dict:
    at = START + round(at_ms * MS)
    return {
        "stamp": schemas.make_message("builtin_interfaces/msg/Time", sec=at // 10**9, nanosec=at % 10**9),
        "frame_id": "base_link",
    }


def demonstration(seed: int = 0, steps: int = 15, kind: str = "jpeg", without: str = "") -> Recording:
    """Frames at 20 Hz, arm at 50 Hz, commands at 10 Hz, a little after the frames; a hole in nothing.

    without: a camera's role.
    """
    rng, recording = np.random.default_rng(seed), Recording()
    for index in range(2 * steps + 1):
        for number, (role, shape) in enumerate(SHAPES.items()):
            if role != without:
                recording.frame(50 * index, role, make_image(10_000 * seed + 2 * index + number, shape), kind)
    position = np.array([0.4, 0.0, 0.2])
    for index in range(5 * steps + 5):
        position = position + rng.normal(size=3) * 0.002
        turn = np.append([1.0, 0.0], rng.normal(size=2) * 0.05)
        recording.arm(20 * index, position, turn / np.linalg.norm(turn), closure=float(index > 3 * steps))
    for index in range(steps):
        recording.twist(100 * index + 5, rng.normal(size=3) * 0.1, rng.normal(size=3) * 0.3)
        recording.grip(100 * index + 5.1, float(index > steps // 2))
    return recording
