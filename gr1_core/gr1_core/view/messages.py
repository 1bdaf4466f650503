"""The stack's messages -> entities. The live view and bags give the same bytes to the same code."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np

from gr1_core import images
from gr1_core.data import schemas
from gr1_core.data.bag import topic_matches
from gr1_core.data.episode_view import jpeg_of
from gr1_core.rig import ROLES
from gr1_core.urdf import UrdfError
from gr1_core.view.arm_model import ArmModel
from gr1_core.view.recording import Recording

IMAGES = ("image_raw/compressed", "image_raw")
"""A camera's topics below camera/<role>; the first one that there is is shown."""
TOPICS = {
    **{f"camera/{role}/image_raw/compressed": "sensor_msgs/msg/CompressedImage" for role in ROLES},
    **{f"camera/{role}/image_raw": "sensor_msgs/msg/Image" for role in ROLES},
    **{f"camera/{role}/camera_info": "sensor_msgs/msg/CameraInfo" for role in ROLES},
    **{f"policy/predicted/{role}": "sensor_msgs/msg/Image" for role in ROLES},
    "policy/call": "std_msgs/msg/String",
    "robot_description": "std_msgs/msg/String",
    "joint_states": "sensor_msgs/msg/JointState",
    "arm/pose": "geometry_msgs/msg/PoseStamped",
    "arm/commanded_pose": "geometry_msgs/msg/PoseStamped",
    "arm/commanded_twist": "geometry_msgs/msg/TwistStamped",
    "arm/gripper": "sensor_msgs/msg/JointState",
    "instruction": "std_msgs/msg/String",
    "sim/task": "std_msgs/msg/String",
    "sim/success": "std_msgs/msg/Bool",
    "recorder/state": "std_msgs/msg/String",
    "diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}
"""Topics that are shown, in any namespace, with their types."""
_STATES = (
    "robot_description",
    "instruction",
    "sim/task",
    "sim/success",
    "recorder/state",
    "policy/call",
    "diagnostics",
)
"""Every message of these is shown; of the others at most `rate` a second."""
_LEVELS = ("INFO", "WARN", "ERROR", "WARN")
"""Of the log, by DiagnosticStatus.level; the last one: stale."""
_SPEED_S = 0.1
"""s over which the measured speed is taken."""


def suffix_of(topic: str) -> str | None:
    """The name of TOPICS that a topic has in some namespace; None for another topic."""
    found = (name for name in TOPICS if topic_matches(topic, name))
    return max(found, key=len, default=None)


class StackLog:
    """Writes a stack's messages to a recording. rate: images and states a second, at most, of each topic.

    refused: topic -> why its messages cannot be shown.
    """

    def __init__(self, recording: Recording, rate: float):
        self._to, self._every = recording, 1.0 / rate
        self.refused: dict[str, str] = {}
        self._suffix: dict[str, str | None] = {}
        self._due: dict[str, float] = defaultdict(lambda: -np.inf)
        self._level: dict[str, tuple[int, str]] = {}
        self._gate: tuple[str, ...] = ()
        self._call: tuple[int | None, str] = (None, "")
        self._places: deque[tuple[float, np.ndarray]] = deque()
        self._predicted: dict[str, deque[tuple[float, bytes]]] = {role: deque(maxlen=20) for role in ROLES}
        self._ahead: float | None = None
        self._description = self._task = ""

    def on_message(self, topic: str, type: str, data, seconds: float) -> None:
        """data: CDR bytes. seconds: its time in the recording."""
        if topic not in self._suffix:
            self._suffix[topic] = suffix_of(topic)
        name = self._suffix[topic]
        if name is None or topic in self.refused:
            return
        if type != TOPICS[name]:
            self.refused[topic] = f"has type {type}, expected {TOPICS[name]}"
            return
        if name not in _STATES:
            # A tenth of a period early counts, so that a stream at the limit keeps its rate.
            if seconds < self._due[topic] - 0.1 * self._every:
                return
            self._due[topic] = max(self._due[topic] + self._every, seconds + 0.5 * self._every)
        self._to.at(seconds)
        try:
            if name.startswith("camera/") and not name.endswith("camera_info"):
                self._on_camera(name.split("/")[1], type, data)
            else:
                self._reader(name)(name, schemas.deserialize(type, data))
        except (schemas.SchemaError, images.ImageError, UrdfError) as error:
            self.refused[topic] = str(error)

    def _reader(self, name: str) -> Callable[[str, Any], None]:
        if name.startswith("policy/predicted/"):
            return self._on_predicted
        if name.endswith("camera_info"):
            return self._on_camera_info
        return {
            "robot_description": self._on_description,
            "joint_states": self._on_joints,
            "arm/pose": self._on_pose,
            "arm/commanded_pose": self._on_commanded_pose,
            "arm/commanded_twist": self._on_twist,
            "arm/gripper": self._on_gripper,
            "instruction": self._on_instruction,
            "sim/task": self._on_task,
            "sim/success": self._on_success,
            "recorder/state": self._on_recorder,
            "policy/call": self._on_call,
            "diagnostics": self._on_diagnostics,
        }[name]

    # Images

    def _on_camera(self, role: str, type: str, data) -> None:
        self._to.image(f"cameras/{role}", jpeg_of(type, data))
        stamp, shown = 1e-9 * (schemas.header_stamp(type, data) or 0), None
        waiting = self._predicted[role]
        # Half a frame early is nearer to this frame than to the next one.
        while waiting and waiting[0][0] <= stamp + 0.025:
            shown = waiting.popleft()
        if shown is not None:
            self._to.image(f"predicted/{role}", shown[1])

    def _on_predicted(self, name: str, message) -> None:
        """A predicted frame waits for the real frame of its time, where the policy says how far ahead it
        looks.
        """
        role = name.rsplit("/", 1)[1]
        image = images.from_raw(message.encoding, message.height, message.width, message.step, message.data)
        jpeg = images.encode_jpeg(image)
        if self._ahead is None:
            self._to.image(f"predicted/{role}", jpeg)
        else:
            self._predicted[role].append((_seconds(message.header.stamp) + self._ahead, jpeg))

    def _on_camera_info(self, name: str, message) -> None:
        key = f"lens of {name}"
        if key not in self._suffix and np.any(message.k):
            self._suffix[key] = None
            self._to.camera(name.split("/")[1], message.k, message.width, message.height)

    # The arm

    def _on_description(self, _: str, message) -> None:
        if message.data and message.data != self._description:
            self._description = message.data
            self._to.add_arm(ArmModel(message.data, "robot_description"))

    def _on_joints(self, _: str, message) -> None:
        self._to.joints(dict(zip(message.name, map(float, message.position))))

    def _on_pose(self, _: str, message) -> None:
        position, quaternion = _pose(message.pose)
        self._to.measured(position, quaternion)
        stamp = _seconds(message.header.stamp)
        self._places.append((stamp, np.array(position)))
        while stamp - self._places[0][0] > _SPEED_S + 1e-3 and len(self._places) > 2:
            self._places.popleft()
        before, place = self._places[0]
        if stamp - before >= 0.5 * _SPEED_S:
            self._to.curve("speed/measured", np.linalg.norm(self._places[-1][1] - place) / (stamp - before))

    def _on_commanded_pose(self, _: str, message) -> None:
        self._to.commanded(*_pose(message.pose))

    def _on_twist(self, _: str, message) -> None:
        linear = message.twist.linear
        self._to.curve("speed/commanded", np.linalg.norm([linear.x, linear.y, linear.z]))

    def _on_gripper(self, _: str, message) -> None:
        values = dict(zip(message.name, message.position))
        for key, curve in (("closure", "gripper/measured"), ("closure_command", "gripper/commanded")):
            if key in values:
                self._to.curve(curve, values[key])

    # What is told

    def _on_instruction(self, _: str, message) -> None:
        if message.data.strip():
            self._to.instruction(message.data)

    def _on_task(self, _: str, message) -> None:
        about = _json(message.data)
        if about and message.data != self._task:
            self._task = message.data
            self._to.text(f"simulated task {about.get('task', '')}, seed {about.get('seed', '')}")

    def _on_success(self, _: str, message) -> None:
        self._to.lane("outcome", "success" if message.data else None)

    def _on_recorder(self, _: str, message) -> None:
        about = _json(message.data)
        recording = about.get("state") == "recording"
        self._to.lane("episode", f"recording {about.get('bag') or ''}" if recording else None)

    def _on_call(self, _: str, message) -> None:
        """The policy calls the operator; an open call is repeated once a second."""
        about = _json(message.data)
        state = str(about.get("state", "")).replace("_", " ")
        self._to.lane("call", state if state == "calling" else None)
        if (key := (about.get("number"), state)) != self._call:
            self._call = key
            calling = state == "calling"
            words = f"the policy calls: {about.get('reason', '')}" if calling else f"the call: {state}"
            self._to.text(words, "WARN" if calling else "INFO")

    def _on_diagnostics(self, _: str, message) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if status.name == "arm: gate":
                self._on_gate(values, int(status.level))
            elif status.name == "policy: prediction":
                self._on_prediction(values)
            if status.name != "arm: gate":
                self._on_level(status.name, int(status.level), status.message)

    def _on_gate(self, values: dict[str, str], level: int) -> None:
        state, reason, detail, source = (
            values.get(key, "") for key in ("state", "reason", "detail", "source")
        )
        self._to.lane("gate", state or None)
        self._to.lane("reason", None if reason in ("", "none") else reason)
        self._to.lane("driver", source or None)
        if (state, reason, detail) != self._gate:
            self._gate = (state, reason, detail)
            words = ": ".join(part for part in (f"gate {state}", reason, detail) if part)
            self._to.text(words, _LEVELS[min(level, 3)])

    def _on_prediction(self, values: dict[str, str]) -> None:
        for role in ROLES:
            self._to.curve(f"prediction/{role}", _number(values.get(f"score_{role}")))
        if (limit := _number(values.get("limit"))) > 0:
            self._to.curve("prediction/limit", limit)
        if np.isfinite(ahead := _number(values.get("ahead_s"))):
            self._ahead = ahead

    def _on_level(self, name: str, level: int, message: str) -> None:
        """A line where a status turns to another level."""
        before, self._level[name] = self._level.get(name), (level, message)
        if (before is None and level) or (before is not None and before[0] != level):
            self._to.text(f"{name}: {message}", _LEVELS[min(level, 3)])


def _pose(pose) -> tuple[tuple[float, float, float], tuple[float, float, float, float]]:
    place, turn = pose.position, pose.orientation
    return (place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w)


def _seconds(stamp) -> float:
    return stamp.sec + 1e-9 * stamp.nanosec


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _json(text: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
